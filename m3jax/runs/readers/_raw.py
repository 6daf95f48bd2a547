"""What every reader gives: a frame of raw cells, and what was decided to get it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Raw:
    """Cells as a source has them.

    Attributes:
        frame: indexed by row number, the first row after the header being 1.
        notes: what the reader decided on the way, in sentences.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with rows numbered from 1; an index that has a name becomes columns."""
    named = [name for name in frame.index.names if name is not None]
    if named:
        frame = frame.reset_index(level=named, allow_duplicates=True)
    return frame.set_axis(np.arange(1, len(frame) + 1), axis=0)
