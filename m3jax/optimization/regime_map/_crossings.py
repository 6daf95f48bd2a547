"""Where the best regime changes with the size of the corpus: bisection on differences of loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# A regime must beat a simpler one by this, in log loss: where the ratio goes to 1 they are one.
TIE = 1e-7
_STEPS = 20  # halvings of a step of the grid


class Crossings(NamedTuple):
    """Where one regime gives way to another; arrays (K,), sorted by row and size.

    Attributes:
        row: of the grid.
        log_tokens: log D_T.
        below, above: regime that is best with less, with more; indices into `recipe.REGIMES`.
        log_loss: of the two there.
        margin: of the third regime there, more log loss; infinite if not on offer.
    """

    row: np.ndarray
    log_tokens: np.ndarray
    below: np.ndarray
    above: np.ndarray
    log_loss: np.ndarray
    margin: np.ndarray


def first_best(log_loss: np.ndarray) -> np.ndarray:
    """Regime with the lowest log loss (3, …), the simplest of equals; −1 where there is none."""
    lowest = log_loss.min(axis=0)
    best = np.argmax(log_loss <= lowest + TIE, axis=0)
    return np.where(np.isfinite(lowest), best, -1)


def crossings(
    losses: Callable[[np.ndarray, np.ndarray], np.ndarray],
    regime: np.ndarray,
    log_sizes: np.ndarray,
) -> Crossings:
    """All changes of the best regime along the sizes, each found to 1e-6 of a step of the grid.

    At a crossing of two regimes the third is looked at too: where it is lower there is a band
    between the two, however thin, and both its edges are found instead.

    Args:
        losses: (row (K,), log_tokens (K,)) -> log loss by regime, (3, K).
        regime: best on the grid, (M, T), −1 for none.
        log_sizes: ascending, (T,).
    """
    left, right = regime[:, :-1], regime[:, 1:]
    row, at = np.nonzero((left != right) & (left >= 0) & (right >= 0))
    low, high = log_sizes[at], log_sizes[at + 1]
    below, above = left[row, at], right[row, at]
    found = []
    while len(row):
        a, b = _bisected(losses, row, low, high, below, above)
        middle = (a + b) / 2
        lanes = np.arange(len(row))
        loss = losses(row, middle)
        best = first_best(loss)
        third = 3 - below - above
        two = np.minimum(loss[below, lanes], loss[above, lanes])
        split = (best == third) & (high - low > 1e-6)
        keep = ~split
        every = (row, middle, below, above, two, loss[third, lanes] - two)
        found.append([leaf[keep] for leaf in every])
        row, low, high, below, above = (
            np.concatenate(pair)
            for pair in (
                (row[split], row[split]),
                (low[split], middle[split]),
                (middle[split], high[split]),
                (below[split], third[split]),
                (third[split], above[split]),
            )
        )
    if not found:
        none = np.zeros(0)
        index = none.astype(np.int64)
        return Crossings(index, none, index, index, none, none)
    whole = Crossings(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    order = np.lexsort((whole.log_tokens, whole.row))
    return Crossings(*(leaf[order] for leaf in whole))


def _bisected(
    losses: Callable[[np.ndarray, np.ndarray], np.ndarray],
    row: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    lanes = np.arange(len(row))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        loss = losses(row, middle)
        a, b = loss[below, lanes], loss[above, lanes]
        stays = np.where(below < above, a <= b + TIE, a < b - TIE)
        low, high = np.where(stays, middle, low), np.where(stays, high, middle)
    return low, high
