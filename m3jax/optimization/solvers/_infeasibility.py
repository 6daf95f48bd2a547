"""Which limits of an impossible problem cannot be kept together."""

from __future__ import annotations

import numpy as np

from ...recipe import Array
from ._faces import face
from ._limits import NAMED_LIMITS


def clashing_limits(
    limit: Array,
    log_tokens: Array,
    serving: Array,
    share: Array,
    regime: int,
    serves: bool,
) -> np.ndarray:
    """For impossible problems, an irreducible infeasible set of limits, (15, P) bool.

    Found by the deletion filter (Chinneck & Dravnieks 1991): a limit is dropped for good where the
    problem stays impossible without it. Any one of those left taken away makes it solvable.
    """
    limit = np.array(limit)
    inside = np.isfinite(limit)
    for i in range(len(NAMED_LIMITS)):
        if not inside[i].any():
            continue
        without = limit.copy()
        without[i] = np.inf
        with np.errstate(invalid="ignore"):
            _, possible = face(
                without, log_tokens, serving, share, regime, serves, np, NAMED_LIMITS
            )
        # Still impossible without it: it is not to blame.
        limit = np.where(possible, limit, without)
        inside[i] &= possible
    return inside
