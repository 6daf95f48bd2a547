"""Where the best regime changes with the size of the corpus: bisection on differences of loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..solvers import REGIME_TIE, best_regime

_STEPS = 20  # halvings of a step of the grid
_THINNEST = 1e-6  # log tokens between two crossings at one budget


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
    row, step = np.nonzero((left != right) & (left >= 0) & (right >= 0))
    low, high = log_sizes[step], log_sizes[step + 1]
    below, above = left[row, step], right[row, step]
    parts: list[Crossings] = []
    while len(row):
        low_end, high_end = _bisected(losses, row, low, high, below, above)
        middle = (low_end + high_end) / 2
        lanes = np.arange(len(row))
        loss = losses(row, middle)
        third = 3 - below - above
        two = np.minimum(loss[below, lanes], loss[above, lanes])
        changes = Crossings(row, middle, below, above, two, loss[third, lanes] - two)
        # Looked at again on both sides, until the band is too thin to matter.
        is_band = (best_regime(loss) == third) & (high - low > _THINNEST)
        parts.append(Crossings(*(leaf[~is_band] for leaf in changes)))
        row, low, high, below, above = (
            np.concatenate([first[is_band], second[is_band]])
            for first, second in (
                (row, row),
                (low, middle),
                (middle, high),
                (below, third),
                (third, above),
            )
        )
    if not parts:
        none, index = np.zeros(0), np.zeros(0, dtype=np.int64)
        return Crossings(index, none, index, index, none, none)
    whole = Crossings(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))
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
    """Brackets (K,) of the sizes where `below` stops being the better of two regimes.

    The better is the one that `best_regime` would choose if there were no third.
    """
    lanes = np.arange(len(row))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        loss = losses(row, middle)
        with_less, with_more = loss[below, lanes], loss[above, lanes]
        stays = np.where(
            below < above, with_less <= with_more + REGIME_TIE, with_less < with_more - REGIME_TIE
        )
        low, high = np.where(stays, middle, low), np.where(stays, high, middle)
    return low, high
