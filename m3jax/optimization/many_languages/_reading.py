"""Which languages of a shared model have a part of their text read, and which all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ...recipe import Array
from ..solvers import text_as_read
from ._barrier import BarrierEnd

_ACTIVE = 1e-6  # elasticity of the mean loss by a bound on the text
_READINGS = 5  # times that what is read in part is chosen anew

# The limits that the rows of a domain stand for: what all languages share, and what each has.
COMMON_ROWS = (
    "highest n_params",
    "lowest n_params",
    "compute",
    "total_tokens",
    "lowest stage_fraction",
    "highest stage_fraction",
)
LANGUAGE_ROWS = (
    "highest target_ratio",
    "lowest target_ratio",
    "highest epochs",
    "lowest epochs",
    "highest final_ratio",
    "lowest final_ratio",
)


class TargetText(NamedTuple):
    """The target text of each language, leaves (L,); see `solvers.RecipeProblem`.

    Attributes:
        at_hand: log tokens.
        fewest: log epochs over what is read where that is a part.
        in_part: whether it is.
    """

    at_hand: Array
    fewest: Array
    in_part: Array

    def as_read(self, seen: Array, xp: Any) -> tuple[Array, Array]:
        """Log unique tokens read and log epochs over them, at log tokens seen."""
        return text_as_read(self.at_hand, self.fewest, self.in_part, seen - self.at_hand, xp)


class SharedOptimum(NamedTuple):
    """The best of one regime."""

    end: BarrierEnd
    regime: int
    agreement: float
    text: TargetText


def best_reading(
    solved: Callable[[np.ndarray], SharedOptimum | None], count: int
) -> SharedOptimum | None:
    """The best over which languages' text is read in part and which in full.

    To read in part asks for the least, so all begin there. A language that has then read all of its
    text, and would more, goes on to repeat it; one that would rather repeat less goes back.
    """
    in_part = np.ones(count, dtype=bool)
    best = settled = solved(in_part)
    for _ in range(_READINGS):
        if settled is None:
            break
        by_row = settled.end.multipliers[len(COMMON_ROWS) :].reshape(len(LANGUAGE_ROWS), count)
        more = by_row[LANGUAGE_ROWS.index("highest epochs")] > _ACTIVE
        less = by_row[LANGUAGE_ROWS.index("lowest epochs")] > _ACTIVE
        changed = np.where(in_part, more, less)
        if not changed.any():
            break
        in_part = in_part ^ changed
        settled = solved(in_part)
        if settled is not None and (best is None or settled.end.value < best.end.value):
            best = settled
    return best
