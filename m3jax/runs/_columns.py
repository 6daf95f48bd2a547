"""The columns of a raw table: which of them are the run table's, and every cell checked."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from ..formatting import quantity, quoted
from ..recipe import RATIO_TOLERANCE

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]


def _positive(value: Array) -> Array:
    return (value > 0) & np.isfinite(value)


def _ratio(value: Array) -> Array:
    return (value > 0) & (value <= 1 + RATIO_TOLERANCE)


# What each numeric column may hold: a test in contract units, and the test in words.
_NUMBERS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "n_params": (_positive, "a positive finite number"),
    "target_tokens": (_positive, "a positive finite number"),
    "epochs": (_positive, "a positive finite number"),
    "total_tokens": (_positive, "a positive finite number"),
    "compute": (_positive, "a positive finite number"),
    "target_ratio": (_ratio, "0 < target_ratio <= 1"),
    "final_ratio": (_ratio, "target_ratio <= final_ratio <= 1"),
    "first_ratio": (lambda value: (value >= 0) & np.isfinite(value), "0 <= first_ratio"),
    "loss": (_positive, "a positive finite number"),
    "weight": (lambda value: (value >= 0) & np.isfinite(value), "a finite number >= 0"),
    "seed": (lambda value: ~np.isinf(value), "a finite number"),
}
_MAY_BE_BLANK = {
    "target_ratio", "final_ratio", "first_ratio", "weight", "seed", "total_tokens", "compute",
}  # fmt: skip
_NAMES = ("language", "run_id", *_NUMBERS)
_COUNTS = {"n_params", "target_tokens", "total_tokens", "compute"}
_COUNT_UNITS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
_EXACT = 2.0**53  # below it floating point numbers hold every whole number
_NEAR = 3  # names that are offered for an unknown one
_LOSS_UNITS = {"nats": 1.0, "bits": float(np.log(2.0))}


class Columns:
    """The run table's columns of a raw frame, checked cell by cell."""

    def __init__(
        self,
        frame: pd.DataFrame,
        source: str,
        columns: Mapping[str, str],
        units: Mapping[str, str | float],
    ) -> None:
        self.source = source
        self.names = [str(name) for name in frame.columns]
        self.frame = frame.set_axis(self.names, axis=1)
        twice = sorted({name for name in self.names if name and self.names.count(name) > 1})
        if twice:
            raise M3Error(f"{source}: expected each column once, found twice: {quoted(twice)}")
        self.column = self._map(columns)
        self.scale = {name: self._scale(name, unit) for name, unit in units.items()}
        if not len(frame):
            raise M3Error(f"{source}: the table is empty, expected at least one row")

    def _map(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Contract name -> name in the frame, for every column the frame has."""
        taken: dict[str, str] = {}
        for name, own in columns.items():
            if name not in _NAMES:
                turned = f" (did you mean {{{own!r}: {name!r}}}?)" if own in _NAMES else ""
                turned = turned or did_you_mean(name, _NAMES)
                raise M3Error(
                    f"{self.source}: columns: unknown name {name!r}{turned}, "
                    f"expected one of {quoted(_NAMES)}"
                )
            if own not in self.names:
                self._join(name, own)
            if own in taken:
                raise M3Error(
                    f"{self.source}: columns: {taken[own]!r} and {name!r} are both mapped "
                    f"to column {own!r}"
                )
            taken[own] = name
        # A column claimed by the mapping is not read under its own name as well.
        own_names = {
            name: name
            for name in _NAMES
            if name in self.names and name not in columns and name not in taken
        }
        return own_names | dict(columns)

    def _join(self, name: str, own: str) -> None:
        """Give the frame the column `own`, "model+seed": the texts of several, joined."""
        parts = [part.strip() for part in own.split("+")]
        for part in parts:
            if part not in self.names:
                which = "which" if len(parts) == 1 else f"of which {part!r}"
                raise M3Error(
                    f"{self.source}: columns: {name!r} is mapped to {own!r}, {which} is not "
                    f"among the columns {quoted(self.names)}{did_you_mean(part, self.names)}"
                )
        if name in _NUMBERS:
            raise M3Error(
                f"{self.source}: columns: {name!r} is mapped to {own!r}, expected one column: "
                "only texts can be joined"
            )
        texts, blanks = zip(*(self.texts(part) for part in parts), strict=True)
        whole = ["+".join(cells) for cells in zip(*texts, strict=True)]
        # A cell that lacks a part is blank, or it would be the same as another's.
        self.frame = self.frame.assign(**{own: np.where(np.any(blanks, axis=0), "", whole)})

    def _scale(self, name: str, unit: str | float) -> float:
        if name not in _NUMBERS:
            raise M3Error(
                f"{self.source}: units: {name!r} is not a numeric column"
                f"{did_you_mean(name, _NUMBERS)}, expected one of {quoted(_NUMBERS)}"
            )
        if name not in self.column:
            raise self.missing(name)
        named = _COUNT_UNITS if name in _COUNTS else _LOSS_UNITS if name == "loss" else {}
        if isinstance(unit, str) and unit in named:
            return named[unit]
        if isinstance(unit, int | float) and not isinstance(unit, bool) and 0 < unit < np.inf:
            return float(unit)
        words = f"one of {quoted(named)} or " if named else ""
        raise M3Error(
            f"{self.source}: units: unknown unit {unit!r} for {name!r}, "
            f"expected {words}a positive number to multiply by"
        )

    def missing(self, name: str, instead: str = "") -> M3Error:
        """The error for a column that is not there."""
        return M3Error(
            f"{self.source}: no column {name!r}{instead}, only {quoted(self.names)}"
            f"{did_you_mean(name, self.names)}. If it goes by another name, "
            f"map it: columns={{{name!r}: '<its name>'}}"
        )

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, keep: Array) -> Columns:
        """The same columns, of the rows where `keep` (n,) is True."""
        some = copy.copy(self)
        some.frame = self.frame[keep]
        return some

    def __contains__(self, name: str) -> bool:
        return name in self.column

    def require(self, good: Array, names: Iterable[str], expected: str) -> None:
        """Raise for the first row where `good` is False, showing that row's cells of `names`."""
        owns = {self.column[name]: name for name in names if name in self}
        self.require_own(good, owns, expected)

    def require_own(self, good: Array, owns: Mapping[str, str], expected: str) -> None:
        """The same of columns by the file's names, and what the run table calls them."""
        if good.all():
            return
        bad = np.flatnonzero(~good)
        labels = [repr(own) if own == name else f"{own!r} ({name})" for own, name in owns.items()]
        cells = [_shown(self.frame[own].iloc[bad[0]]) for own in owns]
        more = f", and {quantity(len(bad) - 1, 'more row')} like it" if len(bad) > 1 else ""
        raise M3Error(
            f"{self.source}, row {self.frame.index[bad[0]]}, "
            f"column{'s' * (len(owns) > 1)} {', '.join(labels)}: found {', '.join(cells)}, "
            f"expected {expected}{more}. (Rows count from 1, without the header.)"
        )

    def number(self, name: str) -> Array | None:
        """Column `name` in contract units, (n,) float64, NaN where blank; None if not there."""
        if name not in self:
            return None
        values, blank, is_number = _numbers(self.frame[self.column[name]])
        self.require(
            is_number | blank, [name], "a number such as 2500 or 2.5e3, no separators or suffix"
        )
        with np.errstate(over="ignore"):
            values = values * self.scale.get(name, 1.0)
        allowed, expected = _NUMBERS[name]
        good = allowed(values) | (blank & (name in _MAY_BE_BLANK))
        if name not in _MAY_BE_BLANK and not np.isfinite(values[~good]).all():
            expected += " (skip_incomplete leaves out rows without)"
        self.require(good, [name], expected)
        return values

    def number_or(self, name: str, default: npt.ArrayLike) -> Array:
        """The same with `default` where the cell is blank or the column is not there."""
        values = self.number(name)
        everywhere = np.broadcast_to(np.asarray(default, dtype=np.float64), len(self.frame))
        return everywhere if values is None else np.where(np.isnan(values), everywhere, values)

    def text(self, name: str) -> Array | None:
        """Column `name` as (n,) str; None if not there."""
        if name not in self:
            return None
        cells, blank = self.texts(self.column[name])
        self.require(~blank, [name], "text")
        return cells

    def texts(self, own: str) -> tuple[Array, Array]:
        """The file's column `own` as (n,) str, "" where blank, and where that is."""
        series = self.frame[own]
        cells, blank = _cells(series)
        if series.dtype.kind == "f":
            values = cells[~blank].astype(np.float64)
            if np.all(np.abs(values) < _EXACT) and np.all(values == np.round(values)):
                cells[~blank] = values.astype(np.int64)  # 3, not 3.0
        return np.where(blank, "", np.array(cells.astype(str), dtype=object)), blank

    def values(self, own: str) -> tuple[Array, Array, Array]:
        """The file's column `own` as (n,) float64, which cells are blank, which are numbers."""
        return _numbers(self.frame[own])


def number_in(text: str) -> float | None:
    """A text as the number that it would be in a cell; None where it is none."""
    import pandas as pd

    values, blank, is_number = _numbers(pd.Series([text], dtype=object))
    return float(values[0]) if is_number[0] and not blank[0] else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The names that hold an unknown one, else the nearest, in brackets; "" if none is near."""
    by_case = {own.lower(): own for own in known}
    name = name.lower()
    near = [own for own in by_case if len(name) > 2 and name in own][:_NEAR]
    near = near or difflib.get_close_matches(name, list(by_case), n=1, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(by_case[own]) for own in near)}?)" if near else ""


def _shown(cell: Any) -> str:
    import pandas as pd

    blank = cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell))
    if blank or (isinstance(cell, str) and not cell.strip()):
        return "a blank cell"
    return repr(cell) if isinstance(cell, str) else str(cell)


def _cells(series: pd.Series[Any]) -> tuple[Array, Array]:
    """A column's cells (n,) object, text stripped, and which are blank (n,) bool."""
    import pandas as pd

    if pd.api.types.infer_dtype(series, skipna=True) == "string":
        series = series.str.strip()
    cells = series.to_numpy(dtype=object)
    empty = np.array([isinstance(cell, str) and not cell for cell in cells], dtype=bool)
    return cells, empty | pd.isna(cells)


def _numbers(series: pd.Series[Any]) -> tuple[Array, Array, Array]:
    """A column's values (n,) float64, which cells are blank, and which are numbers (n,) bool."""
    import pandas as pd

    if series.dtype.kind in "iuf":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return values, np.isnan(values), np.ones(len(values), dtype=bool)
    cells, blank = _cells(series)
    cells = np.where(blank, np.nan, cells)
    # A quick way for a column of clean text; else cell by cell, to tell which cell is wrong.
    if pd.api.types.is_string_dtype(series) and not series.str.contains("_", regex=False).any():
        try:
            return cells.astype(np.float64), blank, np.ones(len(cells), dtype=bool)
        except ValueError:
            pass
    parsed = [_float(cell) for cell in cells]
    is_number = np.array([value is not None for value in parsed])
    return np.array(parsed, dtype=np.float64), blank, is_number


def _float(cell: Any) -> float | None:
    # float() would also take True, and "1_000".
    if isinstance(cell, bool | np.bool_) or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
