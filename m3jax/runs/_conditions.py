"""Comparisons that say which rows of a table to read: "State=finished", "lr<=1e-3"."""

from __future__ import annotations

import dataclasses
import operator
import re

import numpy as np

from .._errors import M3Error, option_name
from ..formatting import quoted
from ._columns import Array, Columns, did_you_mean

_SIGNS = re.compile("!=|<=|>=|==|=|<|>")
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SHOWN = 6  # of a column's texts, in messages


@dataclasses.dataclass(frozen=True)
class Condition:
    """A column of the file, a sign, and what its cells are compared with; "" for blank cells."""

    column: str
    sign: str
    value: str

    @classmethod
    def parse(cls, text: str, table: Columns) -> Condition:
        """Raises `M3Error` where there is no sign, or no column of the table before it."""
        where = f"{table.source}: {option_name('where')}"
        signs = list(_SIGNS.finditer(text))
        if not signs:
            raise M3Error(
                f"{where}: found {text!r}, expected COLUMN=VALUE, or != < <= > >= in place of ="
            )
        for sign in signs:  # names of columns may hold signs, too
            column = text[: sign.start()].strip()
            if column in table.names:
                name, value = sign.group().replace("==", "="), text[sign.end() :].strip()
                if name in _COMPARE and not value:
                    raise M3Error(f"{where}: found {text!r}, expected a value")
                return cls(column, name, value)
        column = text[: signs[0].start()].strip()
        own = table.column.get(column)
        hint = did_you_mean(column, table.names) if own is None else f" (it is {own!r} there)"
        raise M3Error(f"{where}: {column!r} is not among the columns {quoted(table.names)}{hint}")

    def holds(self, table: Columns) -> Array:
        """(n,) bool. Raises `M3Error` on a cell that cannot be compared."""
        texts, blank = table.texts(self.column)
        value = table.number_in(self.value)
        values, _, is_number = table.values(self.column)
        if self.sign in _COMPARE:
            compare = _COMPARE[self.sign]
            if value is None:  # texts in their order, as of dates
                expected = f"a text to compare with {self.value!r}"
                table.require_own(~is_number | blank, {self.column: self.column}, expected)
                return ~blank & compare(texts.astype(str), self.value)
            expected = f"a number to compare with {self.value}"
            table.require_own(is_number | blank, {self.column: self.column}, expected)
            return compare(values, value)  # never true of a blank cell
        equal = texts == self.value
        if value is not None:
            same = np.isnan(values) if np.isnan(value) else values == value
            equal |= same & (is_number | blank)
        elif self.value.lower() in ("true", "false"):  # as JSON, or as Python writes them
            equal = np.char.lower(texts.astype(str)) == self.value.lower()
        return equal if self.sign == "=" else ~equal

    def found(self, table: Columns) -> str:
        """What the column holds, for a condition that nothing meets."""
        texts, _ = table.texts(self.column)
        return f"column {self.column!r} holds {quoted(dict.fromkeys(texts.tolist()), _SHOWN)}"
