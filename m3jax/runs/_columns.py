"""Raw tables: read the file, find the run table's columns, check every cell."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from ..recipe import _SAME, Recipe

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[Any]

# Lengths that a row states twice may differ by rounding, not by more than this.
_AGREE = 0.01


def _positive(value: Array) -> Array:
    return (value > 0) & np.isfinite(value)


def _ratio(value: Array) -> Array:
    return (value > 0) & (value <= 1 + _SAME)


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
_LOSS_UNITS = {"nats": 1.0, "bits": float(np.log(2.0))}


def count_of(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[str], most: int = 20) -> str:
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + rest


# Files become frames of raw cells, indexed by row number. Blank lines count as rows, then go.


def read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        # As text, header included: pandas would otherwise rename duplicate columns and take
        # the language codes "NA" and "nan" for missing values.
        raw = pd.read_csv(
            path,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError as error:
        raise M3Error(f"{path}: the file is empty, expected a header and rows") from error
    except pd.errors.ParserError as error:
        raise M3Error(f"{path}: broken or truncated CSV: {error}") from error
    frame = raw.iloc[1:].set_axis(raw.iloc[0].fillna("").str.strip().tolist(), axis=1)
    return frame[~(frame.isna() | (frame == "")).all(axis=1)]


def read_json_lines(path: Path) -> pd.DataFrame:
    import pandas as pd

    records, lines = [], []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line, object_pairs_hook=_object)
            except ValueError as error:
                raise M3Error(f"{path.name}, line {number}: broken JSON: {error}") from error
            if not isinstance(record, dict):
                found = line.strip()[:60]
                raise M3Error(f"{path.name}, line {number}: found {found}, expected an object")
            records.append(record)
            lines.append(number)
    if not records:
        raise M3Error(f"{path}: the file is empty, expected one JSON object per line")
    return pd.DataFrame(records, index=lines, dtype=object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"the same key twice, among {listed(key for key, _ in pairs)}")
    return record


def read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        import pyarrow
    except ImportError as error:
        raise M3Error(
            f"{path}: Parquet files need pyarrow: pip install 'm3jax[parquet]'"
        ) from error
    try:
        with open(path, "rb") as file:
            frame = pd.read_parquet(file, engine="pyarrow")
    except pyarrow.ArrowException as error:
        raise M3Error(f"{path}: broken or truncated Parquet file: {error}") from error
    return frame.set_axis(np.arange(1, len(frame) + 1), axis=0)


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
            raise M3Error(f"{source}: expected each column once, found twice: {listed(twice)}")
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
                raise M3Error(
                    f"{self.source}: columns: unknown name {name!r}{turned}, "
                    f"expected one of {listed(_NAMES)}"
                )
            if own not in self.names:
                raise M3Error(
                    f"{self.source}: columns: {name!r} is mapped to {own!r}, which is not "
                    f"among the columns {listed(self.names)}{self._similar(str(own))}"
                )
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

    def _scale(self, name: str, unit: str | float) -> float:
        if name not in _NUMBERS:
            raise M3Error(
                f"{self.source}: units: {name!r} is not a numeric column, "
                f"expected one of {listed(_NUMBERS)}"
            )
        if name not in self.column:
            raise self.missing(name)
        named = _COUNT_UNITS if name in _COUNTS else _LOSS_UNITS if name == "loss" else {}
        if isinstance(unit, str) and unit in named:
            return named[unit]
        if isinstance(unit, int | float) and not isinstance(unit, bool) and 0 < unit < np.inf:
            return float(unit)
        words = f"one of {listed(named)} or " if named else ""
        raise M3Error(
            f"{self.source}: units: unknown unit {unit!r} for {name!r}, "
            f"expected {words}a positive number to multiply by"
        )

    def _similar(self, name: str) -> str:
        by_case = {own.lower(): own for own in self.names}
        close = difflib.get_close_matches(name.lower(), list(by_case), n=1, cutoff=0.6)
        return f" (did you mean {by_case[close[0]]!r}?)" if close else ""

    def missing(self, name: str, instead: str = "") -> M3Error:
        """The error for a column that is not there."""
        return M3Error(
            f"{self.source}: no column {name!r}{instead}, only {listed(self.names)}"
            f"{self._similar(name)}. If it goes by another name, "
            f"map it: columns={{{name!r}: '<its name>'}}"
        )

    def __contains__(self, name: str) -> bool:
        return name in self.column

    def require(self, good: Array, names: Iterable[str], expected: str) -> None:
        """Raise for the first row where `good` is False, showing that row's cells of `names`."""
        if good.all():
            return
        bad = np.flatnonzero(~good)
        names = [name for name in names if name in self]
        labels, found = [], []
        for name in names:
            own = self.column[name]
            cell = self.frame[own].iloc[bad[0]]
            labels.append(repr(own) if own == name else f"{own!r} ({name})")
            found.append(_shown(cell))
        more = f", and {count_of(len(bad) - 1, 'more row')} like it" if len(bad) > 1 else ""
        raise M3Error(
            f"{self.source}, row {self.frame.index[bad[0]]}, "
            f"column{'s' * (len(names) > 1)} {', '.join(labels)}: found {', '.join(found)}, "
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
        self.require(allowed(values) | (blank & (name in _MAY_BE_BLANK)), [name], expected)
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
        series = self.frame[self.column[name]]
        cells, blank = _cells(series)
        self.require(~blank, [name], "text")
        if series.dtype.kind == "f" and np.all(np.mod(cells.astype(np.float64), 1) == 0):
            cells = cells.astype(np.float64).astype(np.int64)  # 3, not 3.0
        return np.array(cells.astype(str), dtype=object)


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


def read_recipes(table: Columns) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of every row, (n,) leaves, and notes of what was assumed."""
    n_params = table.number("n_params")
    if n_params is None:
        raise table.missing("n_params")
    r = np.minimum(table.number_or("target_ratio", 1.0), 1.0)
    rf = np.minimum(table.number_or("final_ratio", r), 1.0)
    pair = ["final_ratio", "target_ratio"]
    table.require(rf >= r * (1 - _SAME), pair, "target_ratio (1 if not given) <= final_ratio <= 1")
    rf = np.where(rf <= r * (1 + _SAME), r, rf)
    r1 = table.number_or("first_ratio", np.where(r < rf, 0.0, r))
    pair = ["first_ratio", "target_ratio"]
    table.require(r1 <= r * (1 + _SAME), pair, "0 <= first_ratio <= target_ratio (1 if not given)")
    # With r_1 = r the final stage would have no tokens, and its ratio no meaning.
    table.require((rf <= r) | (r1 < r), pair, "first_ratio < target_ratio < final_ratio")
    r1 = np.minimum(r1, r)

    tokens, epochs = table.number("target_tokens"), table.number("epochs")
    tokens, epochs, notes = _lengths(table, n_params, tokens, epochs, r)
    return Recipe(n_params, tokens, epochs, r, rf, r1), notes


def _lengths(
    table: Columns, n_params: Array, tokens: Array | None, epochs: Array | None, r: Array
) -> tuple[Array, Array, tuple[str, ...]]:
    """Target tokens and epochs, from what the table gives of D_T, k, D and C; and notes."""
    total, compute = table.number("total_tokens"), table.number("compute")
    totals = {"total_tokens": total} if total is not None else {}
    if compute is not None:
        totals["compute"] = compute / (6.0 * n_params)
    if len(totals) == 2:
        _check_agreement(
            table,
            totals["compute"] / totals["total_tokens"],
            ["n_params", "total_tokens", "compute"],
            "compute = 6 * n_params * total_tokens",
        )
    if tokens is not None and epochs is not None:
        for name, value in totals.items():
            given = ["target_tokens", "epochs", "target_ratio", name]
            rule = "epochs * target_tokens = target_ratio * total_tokens"
            if name == "compute":
                given, rule = ["n_params", *given], rule.replace("total_tokens", "compute / 6N")
            _check_agreement(table, epochs * tokens / (r * value), given, rule)
        return tokens, epochs, ()
    if not totals:
        name = "target_tokens" if tokens is None else "epochs"
        raise table.missing(name, " (or 'total_tokens' or 'compute' in its place)")
    first, *_, last = (*totals.values(), *totals.values())
    seen = r * np.where(np.isnan(first), last, first)
    table.require(~np.isnan(seen), totals, "a positive finite number, as nothing else gives D")
    if tokens is not None:
        return tokens, seen / tokens, ()
    if epochs is not None:
        return seen / epochs, epochs, ()
    note = (
        "neither target_tokens nor epochs given: each run read as one epoch over unique text "
        "(target_tokens = target_ratio * total_tokens, epochs = 1)"
    )
    return seen, np.ones_like(seen), (note,)


def _check_agreement(table: Columns, quotient: Array, names: list[str], rule: str) -> None:
    # Blank cells give NaN, and nothing to contradict.
    good = ~(np.abs(quotient - 1) > _AGREE)
    table.require(good, names, f"{rule} to within {_AGREE:.0%}")
