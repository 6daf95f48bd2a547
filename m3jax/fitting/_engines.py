"""Which engine makes the descents of a fit."""

from __future__ import annotations

import jax

from ..laws import Law
from .engine import CompiledDescents, Descents, HostDescents

# Runs times descents from which compiling whole descents pays. On two cores the host takes a second
# for 300,000 of them; compiled they take half of that, after 8 seconds the first time and after 4
# where the compiled code is kept.
_PAYS = 1_500_000


def descents_of(law: Law, engine: str, precision: str, tolerance: float) -> Descents:
    """Descents of a law by an engine, "batch" or "host"; see `FitOptions`."""
    if engine == "host":
        return HostDescents(law, tolerance)
    return CompiledDescents(law, precision, tolerance)


def choose_engine(engine: str, precision: str, *, runs: int, starts: int, draws: int) -> str:
    """What `engine` "auto" means for so many runs in all, by which is sooner done.

    What was asked for, otherwise. The host computes in double precision and on a CPU.
    """
    if engine != "auto":
        return engine
    here = jax.default_backend() == "cpu" and precision == "float64"
    return "host" if here and runs * (starts + draws) < _PAYS else "batch"
