"""Random runs to compare a design with, and what any runs cost at least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .._errors import M3Error
from ..computing import in_double_precision
from ..fitting import Fits
from ..options import Bounds, NextOptions
from ..recipe import Recipe
from ._run_space import RunSpace, run_space
from ._search import random_design

SPENT = 0.98  # of the budget that is planned with; rounding may take the rest


def check_cost(language: str, space: RunSpace, budget: float, runs: int) -> None:
    """Raise `M3Error` if the cheapest runs of a space cost more than the budget."""
    with in_double_precision():
        cheapest = space.cheapest()[2]
    if cheapest * runs > SPENT * budget:
        raise M3Error(
            f"language {language!r}, budget {budget:.4g} FLOP: the cheapest run within the ranges"
            f" takes {cheapest:.4g}, {runs} of them {cheapest * runs:.4g}; ask for fewer runs or"
            " widen the ranges"
        )


def random_runs(
    fits: Fits,
    *,
    budget: float,
    runs: int = 8,
    language: str | None = None,
    target_tokens: float = np.inf,
    ladder: Sequence[float] | None = None,
    ranges: Mapping[str, Bounds] | None = None,
    reach: float = 1.0,
    seed: int = 0,
) -> Recipe:
    """Random runs to compare with: uniform in logarithms, then moved until they cost the budget.

    The arguments are those of `next_runs`, `target_tokens` being the most that a run takes; leaves
    are (runs,). Raises `M3Error` as it does.
    """
    options = NextOptions(
        budget=budget, runs=runs, ladder=ladder, ranges=ranges or {}, reach=reach, seed=seed
    )
    i = fits.index(language)
    name = fits.languages[i]
    space, _ = run_space(
        name,
        fits.law,
        fits.grounds[i],
        most_tokens=target_tokens,
        reach=options.reach,
        bounds=options.ranges,
        ladder=options.ladder,
    )
    check_cost(name, space, options.budget, options.runs)
    with in_double_precision():
        rng = np.random.default_rng([options.seed, 4])
        return space.rounded(*random_design(space, SPENT * options.budget, options.runs, rng))
