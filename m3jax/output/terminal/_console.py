"""The terminal: its width, and how tables and notes are written to it; plain text when piped."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table as RichTable

from ..._progress import is_quiet
from ...formatting import MISSING, printable
from ..tables import Table


def escape(text: str) -> str:
    """Text as it is shown: neither rich's markup nor control characters have a say."""
    return escape_markup(printable(text))


def open_console() -> Console:
    """The console of standard output."""
    # Piped output has no width of its own: do not fold rows that a program may read.
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
    return Console(width=wide, highlight=False)


def to_rich(table: Table, *, tight: bool = False) -> RichTable:
    """The brief view of a table, without its notes; `tight` where every column counts."""
    drawn = RichTable(
        title=escape(table.title),
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0) if tight else (0, 2, 0, 0),
    )
    for i, column in enumerate(table.shown("brief")):
        left = i == 0 or column.left
        drawn.add_column(
            escape(column.heading("brief")),
            justify="left" if left else "right",
            no_wrap=i == 0,
        )
    for cells in table.cells("brief"):
        drawn.add_row(*map(escape, cells))
    return drawn


_NARROW = 80  # columns, below which tables are stacked rather than folded
MOST_LANGUAGES = 20  # that tables are written out for


def print_rest(console: Console, names: Sequence[str], where: str) -> None:
    """That there are more languages than are written out, and where the rest is."""
    if more := names[MOST_LANGUAGES:]:
        noun = "language is" if len(more) == 1 else "languages are"
        print_line(console, f"{len(more)} more {noun} in {where}.")


def print_table(console: Console, table: Table, *, tight: bool = False) -> None:
    """Write a table and its notes; stacked, where it is too wide for a narrow terminal."""
    drawn, unbounded = to_rich(table, tight=tight), console.options.update(width=999)
    if tight and console.measure(drawn, options=unbounded).maximum > console.width:
        drawn.padding = 0  # one blank between columns, rather than words cut short
    measured = console.measure(drawn, options=unbounded)
    narrow = console.width < _NARROW and measured.maximum > console.width
    if narrow or measured.minimum > console.width:
        _print_stacked(console, table)
    else:
        console.print(drawn)
    print_notes(console, table.notes)


def _print_stacked(console: Console, table: Table) -> None:
    """Write a table as a block a row: its first cell, and below it a line a further column."""
    console.print(escape(table.title), style="bold")
    first, *others = ((c.key, _in_a_line(c.heading("brief"))) for c in table.shown("brief"))
    for name, *cells in ([_in_a_line(cell, "  ") for cell in row] for row in table.cells("brief")):
        console.print(f"{escape(first[1])} {escape(name)}", style="bold")
        block = RichTable.grid(padding=(0, 2, 0, 0))
        for (key, heading), cell in zip(others, cells, strict=True):
            if cell != MISSING:
                block.add_row(f"  {escape(heading or key)}", escape(cell))
        console.print(block)


def _in_a_line(text: str, between: str = " ") -> str:
    """The lines of a heading or a cell as one."""
    return between.join(filter(None, (line.strip() for line in text.splitlines())))


def print_notes(console: Console, notes: Sequence[str], prefix: str = "") -> None:
    """Write notes, a line each, unless the user wants quiet."""
    for note in () if is_quiet() else notes:
        print_line(console, f"  note: {prefix}{note}")


def print_line(console: Console, text: str) -> None:
    """Write a line as it is, however long."""
    console.print(escape(text), soft_wrap=True)
