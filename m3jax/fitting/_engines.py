"""Which engine makes the descents of a fit."""

from __future__ import annotations

import jax

from ..laws import Law
from .engine import CompiledDescents, Descents, HostDescents

# Runs times starts, and runs times draws, from which compiling whole descents pays. On two cores
# the host takes a second for 120,000 of the former, which other descents follow, and for 1,800,000
# of the latter; compiled they take half of that or less, and 5 and 3 seconds to compile.
_SEARCH_PAYS, _DRAWS_PAY = 1_500_000, 6_000_000


def descents_of(law: Law, engine: str, precision: str, tolerance: float) -> Descents:
    """Descents of a law by an engine, "batch" or "host"; see `FitOptions`."""
    if engine == "host":
        return HostDescents(law, tolerance)
    return CompiledDescents(law, precision, tolerance)


def choose_engines(
    engine: str, precision: str, *, runs: int, starts: int, draws: int
) -> tuple[str, str]:
    """What `engine` "auto" means for the search and for the draws, by which is sooner done.

    What was asked for, otherwise. `runs` are all there are. The host computes in double precision
    and on a CPU.
    """
    if engine != "auto":
        return engine, engine
    if jax.default_backend() != "cpu" or precision != "float64":
        return "batch", "batch"
    return (
        "host" if runs * starts < _SEARCH_PAYS else "batch",
        "host" if runs * draws < _DRAWS_PAY else "batch",
    )
