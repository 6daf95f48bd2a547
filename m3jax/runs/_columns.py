"""The columns of a raw table: which of them are the run table's, and every cell checked."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._errors import M3Error, option_name, setting
from ..formatting import quantity, quoted
from ..numerals import Notation
from ..options import CellOptions, TableOptions
from ..recipe import RATIO_TOLERANCE
from ._cells import as_found, cells_of, numbers_of, only_decimal_commas
from ._headers import cleaned, held_out_loss, nearly, panel_column, plain, written_otherwise
from ._units import Unit, unit_of

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
_SHARES = {"target_ratio", "final_ratio", "first_ratio", "weight"}
_EXACT = 2.0**53  # below it floating point numbers hold every whole number
_SOURCE = "source"  # column of the language that helps
_NEAR = 3  # names that are offered for an unknown one
# Without these a row means something else, and nothing about the result looks wrong.
_CHANGE_MEANING = {"language", "target_ratio", "final_ratio", "first_ratio"}


class Columns:
    """The run table's columns of a raw frame, checked cell by cell.

    `notes` says what of the frame was read otherwise than it is written, or is not read.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        source: str,
        options: TableOptions,
    ) -> None:
        self.source = source
        self.names = [cleaned(str(name)) for name in frame.columns]
        self.frame = frame.set_axis(self.names, axis=1)
        self.notes: list[str] = []
        twice = sorted({name for name in self.names if name and self.names.count(name) > 1})
        if twice:
            raise M3Error(f"{source}: expected each column once, found twice: {quoted(twice)}")
        panel = panel_column(self.names)
        if panel is not None:
            raise M3Error(
                f"{source}: expected a row a run, found a chart exported from Weights & Biases,"
                f" a column a run ({panel!r}): export the table of runs (Download as CSV)"
            )
        own_names = {name: cleaned(own) for name, own in options.columns.items()}
        self.column = self._map(own_names)
        self._split_by_source()
        self._check_unread()
        self.units = {name: self._unit(name, unit) for name, unit in options.units.items()}
        if not len(frame):
            raise M3Error(f"{source}: the table is empty, expected at least one row")
        self.notation = self._notation(options)
        self._bytes_per_token = options.bytes_per_token
        self._check_bytes()

    def _map(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Contract name -> name in the frame, for every column the frame has."""
        taken: dict[str, str] = {}
        for name, own in columns.items():
            if name not in _NAMES:
                turned = f" (did you mean {{{own!r}: {name!r}}}?)" if own in _NAMES else ""
                turned = turned or did_you_mean(name, _NAMES)
                raise M3Error(
                    f"{self.source}: {option_name('columns')}: unknown name {name!r}{turned}, "
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
        free = [name for name in self.names if name not in taken]
        absent = [name for name in _NAMES if name not in columns]
        found = {name: name for name in absent if name in free}
        otherwise = written_otherwise(free, absent)
        self.notes += [f"column {own!r} is read as {name}" for name, own in otherwise.items()]
        return found | otherwise | dict(columns)

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

    def _split_by_source(self) -> None:
        """Languages whose runs had several sources are one language a source, "Indonesian+English".

        Which text helps is then a choice. A column `source` that tells no two runs of a language
        apart is not read.
        """
        own = self.column.get("language")
        if own is None or _SOURCE not in self.names or "+" in own or own == _SOURCE:
            return
        language, source = self.texts(own)[0], self.texts(_SOURCE)[0]
        if len({*zip(language, source, strict=True)}) > len({*language}):
            both = f"{own}+{_SOURCE}"
            self._join("language", both)
            self.column["language"] = both
            self.notes.append(f"languages are read by source, as column {both!r}")

    def _check_unread(self) -> None:
        """Say which columns are not read and might have been meant to be."""
        read = {part.strip() for own in self.column.values() for part in (own, *own.split("+"))}
        unread = [name for name in self.names if name not in read]
        absent = [name for name in _NAMES if name not in self.column]
        for own, name in nearly(unread, absent).items():
            if name in _CHANGE_MEANING:
                raise M3Error(
                    f"{self.source}: column {own!r} is not read, and there is no {name!r}: map it, "
                    f"{setting('columns', {name: own})}, or rename it if it is "
                    "something else"
                )
            self.notes.append(f"column {own!r} is not read; if it is {name}, map it")
        held_out = held_out_loss(unread)
        if held_out is not None and self.column.get("loss") == "loss":
            self.notes.append(
                f"the loss is column 'loss', not {held_out!r}: it should be one on held-out text"
            )
        for own in unread:
            name = plain(own)
            if name in self.column and self.column[name] != own and name not in unread:
                self.notes.append(
                    f"column {own!r} is not read: {name} is column {self.column[name]!r}"
                )

    def _unit(self, name: str, unit: str | float) -> Unit:
        if name not in _NUMBERS:
            raise M3Error(
                f"{self.source}: {option_name('units')}: {name!r} is not a numeric column"
                f"{did_you_mean(name, _NUMBERS)}, expected one of {quoted(_NUMBERS)}"
            )
        if name not in self.column:
            raise self.missing(name)
        return unit_of(name, unit, self.source)

    def _notation(self, cells: CellOptions) -> Notation:
        thousands = cells.thousands or ""
        if cells.decimal is not None or thousands in (",", "."):
            return Notation(cells.decimal or ("," if thousands == "." else "."), thousands)
        used = [self.frame[own] for name, own in self.column.items() if name in _NUMBERS]
        if not only_decimal_commas(used):
            return Notation(".", thousands)
        self.notes.append(
            f"numbers are read with decimal commas (as with {setting('decimal', repr(','))})"
        )
        return Notation(",", thousands)

    def _check_bytes(self) -> None:
        """Bytes a token are given if, and only if, a unit asks for them."""
        given, asked = self._bytes_per_token, "loss" in self.units and self.units["loss"].per_byte
        if asked and given is None:
            raise M3Error(
                f"{self.source}: {option_name('units')}: 'bpb' for 'loss' needs the bytes of a"
                f" token of that text: {setting('bytes_per_token', '4.2')}, or one a language"
            )
        if given is not None and not asked:
            raise M3Error(
                f"{self.source}: {option_name('bytes_per_token')}: expected with losses in bits a"
                f" byte only ({setting('units', {'loss': 'bpb'})})"
            )

    def _bytes(self) -> Any:
        """Bytes per token, of all rows or (n,); 1 where no unit asks for them."""
        given = self._bytes_per_token
        if not isinstance(given, Mapping):
            return 1.0 if given is None else given
        languages = self.text("language")
        if languages is None:
            raise self.missing("language")
        for name in dict.fromkeys(languages):
            if name not in given:
                raise M3Error(
                    f"{self.source}: {option_name('bytes_per_token')}: no number for language"
                    f" {name!r}, only for {quoted(given)}"
                )
        return np.array([given[name] for name in languages])

    @property
    def measured(self) -> bool:
        """Whether compute is said to be measured."""
        return "compute" in self.units and self.units["compute"].measured

    def missing(self, name: str, instead: str = "") -> M3Error:
        """The error for a column that is not there."""
        return M3Error(
            f"{self.source}: no column {name!r}{instead}, only {quoted(self.names)}"
            f"{did_you_mean(name, self.names)}. If it goes by another name, "
            f"map it: {setting('columns', {name: '<its name>'})}"
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
        cells = [as_found(self.frame[own].iloc[bad[0]]) for own in owns]
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
        series = self.frame[self.column[name]]
        values, blank, is_number, suffix = numbers_of(series, self.notation)
        good = is_number | blank
        bad = "" if good.all() else series.iloc[int(np.argmin(good))]
        hint = self.notation.hint(bad) if isinstance(bad, str) else ""
        self.require(good, [name], self.notation.expected + hint)
        if name not in _SHARES:
            self.require(suffix != "%", [name], "a number, no share")
        allowed, expected = _NUMBERS[name]
        unit = self.units.get(name)
        if unit is not None:
            words = f"a number without a suffix, as its unit is {unit.name!r}"
            self.require(suffix == "", [name], words)
            with np.errstate(over="ignore"):
                values = unit.convert(values, self._bytes())
            expected = unit.allowed or expected
        good = allowed(values) | (blank & (name in _MAY_BE_BLANK))
        if name not in _MAY_BE_BLANK and not np.isfinite(values[~good]).all():
            expected += f" ({setting('skip_incomplete')} leaves out rows without)"
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
        cells, blank = cells_of(series)
        if series.dtype.kind == "f":
            values = cells[~blank].astype(np.float64)
            if np.all(np.abs(values) < _EXACT) and np.all(values == np.round(values)):
                cells[~blank] = values.astype(np.int64)  # 3, not 3.0
        return np.where(blank, "", np.array(cells.astype(str), dtype=object)), blank

    def values(self, own: str) -> tuple[Array, Array, Array]:
        """The file's column `own` as (n,) float64, which cells are blank, which are numbers."""
        values, blank, is_number, _ = numbers_of(self.frame[own], self.notation)
        return values, blank, is_number

    def number_in(self, text: str) -> float | None:
        """A text as the number that it would be in a cell; None where it is none."""
        found = self.notation.read(text)
        return None if found is None else found.value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The names that hold an unknown one, else the nearest, in brackets; "" if none is near."""
    by_case = {own.lower(): own for own in known}
    name = name.lower()
    near = [own for own in by_case if len(name) > 2 and name in own][:_NEAR]
    near = near or difflib.get_close_matches(name, list(by_case), n=1, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(by_case[own]) for own in near)}?)" if near else ""
