"""What is asked for by nobody who plans without runs, unless they say so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..fitting import Evidence
from ..optimization import REACH
from ..options import Limits, PlanOptions
from ..recipe import Recipe

TOKENS_PER_PARAMETER = 20.0  # compute-optimal, arXiv:2203.15556
# More than that teaches nothing (arXiv:2305.16264). Laws that saturate in epochs would go on.
MOST_EPOCHS = 40.0
# The best model stays near the compute-optimal one of a single language (arXiv:2410.12325, v1), and
# what repeats text is smaller.
MOST_TIMES_OPTIMAL = 4.0


def optimal_size(compute: float) -> float:
    """Parameters of the compute-optimal model of one language and one epoch."""
    return math.sqrt(compute / 6 / TOKENS_PER_PARAMETER)


def limits_of(options: PlanOptions, evidence: Evidence) -> dict[str, Any]:
    """The limits of the recipe by name: those that were given, and these where nothing was."""
    limits = {name: getattr(options, name) for name in Limits.names()}
    if options.epochs is None:
        limits["epochs"] = (1.0, MOST_EPOCHS)
    if options.n_params is None and options.ladder is None:
        least, most = evidence.scope.ranges["n_params"]
        largest = MOST_TIMES_OPTIMAL * optimal_size(options.compute)
        limits["n_params"] = (min(least, largest), min(max(largest, least), REACH * most))
    return limits


def within_reason(recipe: Recipe) -> np.ndarray:
    """Which recipes, leaves (n,), keep to what a plan keeps to where nothing is said, bool (n,)."""
    largest = MOST_TIMES_OPTIMAL * np.array([optimal_size(c) for c in recipe.compute])
    return np.asarray((recipe.epochs <= MOST_EPOCHS) & (recipe.n_params <= largest))
