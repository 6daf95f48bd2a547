"""How far estimates still move between rounds."""

from __future__ import annotations

import numpy as np

_SHARE_OF_LANGUAGES = 0.95  # that must stay below


def posterior_sds_moved(move: np.ndarray, precision: np.ndarray, free: np.ndarray) -> float:
    """How far estimates moved, in posterior sds: what nearly all languages stay below.

    √(Δ'PΔ / p) with p the number of free variables, and its 95% quantile over the languages.

    Args:
        move: of each language's variables, (L, p).
        precision: inverse posterior covariance, (L, p, p).
        free: which variables count, (L, p) or (1, p).
    """
    move = np.where(free, move, 0.0)
    size = np.einsum("li,lij,lj->l", move, precision, move) / np.maximum(free.sum(axis=1), 1)
    return float(np.quantile(np.sqrt(size), _SHARE_OF_LANGUAGES))
