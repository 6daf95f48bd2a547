"""What a table is, whatever writes it: columns that turn a row into text, and rows.

A table is defined once. The terminal shows its brief view and HTML its full view; a column belongs
to both or to one of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ... import formatting
from ...variables import REGIME_WORDS, VARIABLES

Record = Mapping[str, Any]  # a row of a result's `records()`
View = Literal["brief", "full"]
BOTH: tuple[View, ...] = ("brief", "full")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: tells it from the others of its table; of a plain value, the row's field.
        header: its lines.
        write: the text of a row's cell. Lines after the first, which may be empty, are details and
            set in small type where there is any.
        brief: the header where there is little room; "" if it is the same.
        left: whether the terminal justifies it to the left, as it does the first column.
        prose: whether it holds sentences, which HTML wraps.
        views: where it is shown.
    """

    key: str
    header: str
    write: Callable[[Any], str]
    brief: str = ""
    left: bool = False
    prose: bool = False
    views: tuple[View, ...] = BOTH

    def heading(self, view: View) -> str:
        """The header in a view."""
        return self.brief or self.header if view == "brief" else self.header


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: what it shows, in a line.
        columns: from left to right.
        rows: what the columns write, from the top.
        notes: what to know when reading it, in sentences.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Any]
    notes: tuple[str, ...] = ()

    def shown(self, view: View) -> tuple[Column, ...]:
        """The columns of a view."""
        return tuple(column for column in self.columns if view in column.views)

    def cells(self, view: View) -> list[list[str]]:
        """Text by row and column of a view."""
        columns = self.shown(view)
        return [[column.write(row) for column in columns] for row in self.rows]


def regime_column(key: str = "regime", header: str = "regime\n", *, left: bool = True) -> Column:
    """A column of a regime, in short; where there is none, a dash."""
    return plain_column(key, header, lambda name: REGIME_WORDS[name].short, left=left)


def field(row: Any, name: str) -> Any:
    """A field of a record: a mapping, or a result with attributes. None if there is none."""
    return row.get(name) if hasattr(row, "get") else getattr(row, name, None)


def plain_column(
    key: str,
    header: str = "",
    as_text: Callable[[Any], str] = str,
    **options: Any,
) -> Column:
    """A column of the field `key`, written by `as_text`; None and "" are a dash.

    `header` is the key unless it is given; `options` are those of `Column`.
    """

    def write(row: Any) -> str:
        content = field(row, key)
        return formatting.MISSING if content is None or content == "" else as_text(content)

    return Column(key, header or key, write, **options)


def variable_column(key: str, header: str, **options: Any) -> Column:
    """A column of a member of `variables.VARIABLES`, written as its kind of numbers is."""
    return plain_column(key, header, formatting.writer(key), **options)


def symbol_header(name: str) -> str:
    """The header of a variable's column: its shortest words in full, and its symbol."""
    entry = VARIABLES[name]
    words = entry.noun if entry.short == entry.symbol else entry.short
    return f"{words} {entry.symbol}"


def with_interval(row: Any, name: str, as_text: Callable[[Any], str], as_end: Any = None) -> str:
    """A field and, below it, its interval, the fields NAME_low and NAME_high, if there is one."""
    low, high = field(row, f"{name}_low"), field(row, f"{name}_high")
    text = as_text(field(row, name))
    return (
        text
        if low is None
        else f"{text}\n{formatting.write_interval(low, high, as_end or as_text)}"
    )
