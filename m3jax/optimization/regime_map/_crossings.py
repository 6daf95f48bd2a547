"""Where the best regime changes with the size of the corpus: roots of differences of loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..solvers import REGIME_TIE, best_regime

_APART = 1e-6  # of a step of the grid, to which crossings are found
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
        middle = _switches(losses, row, low, high, below, above)
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


def _switches(
    losses: Callable[[np.ndarray, np.ndarray], np.ndarray],
    row: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
) -> np.ndarray:
    """Sizes (K,) at which `below` stops being the better of two regimes, by Chandrupatla's method.

    The better is the one that `best_regime` would choose if there were no third.
    """
    from scipy.optimize.elementwise import find_root  # a fifth of a second

    def lead(log_tokens: np.ndarray, *of: np.ndarray) -> np.ndarray:
        """By how much `below` is better: at least 0 where it would be chosen, else negative."""
        row, below, above = (np.asarray(index, dtype=np.int64) for index in of)
        loss, lanes = losses(row, log_tokens), np.arange(len(row))
        with_less, with_more = loss[below, lanes], loss[above, lanes]
        tie = np.where(below < above, REGIME_TIE, -REGIME_TIE)
        with np.errstate(invalid="ignore"):
            ahead = np.clip(with_more + tie - with_less, -1.0, 1.0)
        return np.where(np.isnan(ahead), 1.0, ahead)

    found = find_root(
        lead,
        (low, high),
        args=(row, below, above),
        tolerances={"xatol": _APART * float(np.max(high - low)), "xrtol": 0.0},
    )
    # Where rounding hides a change that the grid has seen, it is anywhere in the step.
    return np.where(np.isnan(found.x), (low + high) / 2, found.x)
