"""Which limits of an impossible problem cannot be kept together."""

from __future__ import annotations

import numpy as np

from ._faces import with_limits
from ._limits import NAMED_LIMITS
from ._recipe_problem import RecipeProblem


def clashing_limits(problem: RecipeProblem) -> np.ndarray:
    """For impossible problems, an irreducible infeasible set of limits, (15, P) bool.

    Found by the deletion filter (Chinneck & Dravnieks 1991): a limit is dropped for good where the
    problem stays impossible without it. Any one of those left taken away makes it solvable.
    """
    limit = np.array(problem.limit)
    inside = np.isfinite(limit)
    for i in range(len(NAMED_LIMITS)):
        if not inside[i].any():
            continue
        without = limit.copy()
        without[i] = np.inf
        with np.errstate(invalid="ignore"):
            _, possible = with_limits(problem, without, NAMED_LIMITS)
        # Still impossible without it: it is not to blame.
        limit = np.where(possible, limit, without)
        inside[i] &= possible
    return inside
