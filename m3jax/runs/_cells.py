"""The cells of one column: which are blank, what numbers they hold, how they are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..numerals import Notation, Numeral

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


def as_found(cell: Any) -> str:
    """A cell, as errors quote it."""
    import pandas as pd

    blank = cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell))
    if blank or (isinstance(cell, str) and not cell.strip()):
        return "a blank cell"
    return repr(cell) if isinstance(cell, str) else str(cell)


def cells_of(series: pd.Series[Any]) -> tuple[Array, Array]:
    """A column's cells (n,) object, text stripped, and which are blank (n,) bool."""
    import pandas as pd

    if pd.api.types.infer_dtype(series, skipna=True) == "string":
        series = series.str.strip()
    cells = series.to_numpy(dtype=object)
    empty = np.array([isinstance(cell, str) and not cell for cell in cells], dtype=bool)
    return cells, empty | pd.isna(cells)


def numbers_of(series: pd.Series[Any], notation: Notation) -> tuple[Array, Array, Array, Array]:
    """A column's values (n,) float64, and of its cells, (n,) each: blank, a number, the suffix."""
    import pandas as pd

    none = np.full(len(series), "", dtype=object)
    if series.dtype.kind in "iuf":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return values, np.isnan(values), np.ones(len(values), dtype=bool), none
    cells, blank = cells_of(series)
    cells = np.where(blank, np.nan, cells)
    # A quick way for a column of clean text; else cell by cell, to tell which cell is wrong.
    if (
        notation == Notation()
        and pd.api.types.is_string_dtype(series)
        and not series.str.contains("_", regex=False).any()
    ):
        try:
            return cells.astype(np.float64), blank, np.ones(len(cells), dtype=bool), none
        except ValueError:
            pass
    read = [_numeral(cell, notation) for cell in cells]
    return (
        np.array([np.nan if each is None else each.value for each in read], dtype=np.float64),
        blank,
        np.array([each is not None for each in read], dtype=bool),
        np.array(["" if each is None else each.suffix for each in read], dtype=object),
    )


def _numeral(cell: Any, notation: Notation) -> Numeral | None:
    if isinstance(cell, str):
        return notation.read(cell)
    if isinstance(cell, bool | np.bool_):  # which float() would take
        return None
    try:
        return Numeral(float(cell))
    except (TypeError, ValueError, OverflowError):
        return None


def only_decimal_commas(columns: Iterable[pd.Series[Any]]) -> bool:
    """Whether a cell of these columns is a number whose comma can be nothing but decimal."""
    plain, decimal, grouped = Notation(), Notation(","), Notation(".", ",")
    return any(
        "," in cell and decimal.read(cell) and not grouped.read(cell) and not plain.read(cell)
        for series in columns
        if series.dtype.kind not in "iufb"
        for cell in series.to_numpy(dtype=object)
        if isinstance(cell, str)
    )
