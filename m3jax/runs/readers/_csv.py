"""Run tables as text: columns separated by commas, semicolons or tabs."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence

from ..._errors import M3Error
from ...formatting import quantity
from ._raw import Raw

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAID = re.compile(r"sep=([,;\t|])\r?\n")  # a first line that Excel writes and wants


def read_csv(content: bytes, name: str) -> Raw:
    """Cells as text; blank lines count as rows, then go. The header says what separates columns."""
    return _read(content, name, ",")


def read_tsv(content: bytes, name: str) -> Raw:
    """The same, of a file that should have tabs."""
    return _read(content, name, "\t")


def _read(content: bytes, name: str, usual: str) -> Raw:
    import pandas as pd

    text = _text(content)
    said = _SAID.match(text)
    text = text[said.end() :] if said else text
    header = next((line for line in text.splitlines() if line.strip()), None)
    if header is None:
        raise M3Error(f"{name}: the file is empty, expected a header and rows")
    separator = said[1] if said else _separator(header, usual)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise M3Error(f"{name}: broken or truncated CSV: {error}") from error
    while not _filled(rows[0]):
        del rows[0]
    names = [cell.strip() for cell in rows[0]]
    numbered = [(number, row) for number, row in enumerate(rows[1:], start=1) if _filled(row)]
    for number, row in numbered:
        if len(row) != len(names):
            raise M3Error(
                f"{name}, row {number}: found {quantity(len(row), 'cell')}, expected "
                f"{len(names)} as in the header{_why(row, names, number == len(rows) - 1)}"
            )
    if numbered and not text.endswith(("\n", "\r")):
        _check_end(numbered[-1][0], [row for _, row in numbered], names[-1], name)
    frame = pd.DataFrame(
        [row for _, row in numbered],
        index=[number for number, _ in numbered],
        columns=names,
        dtype=str,
    )
    notes = (f"columns are separated by {_SEPARATORS[separator]}",) if separator != usual else ()
    return Raw(frame, notes)


def _text(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Excel's "Unicode text"
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _separator(header: str, usual: str) -> str:
    """What splits a header into most columns; the usual one where others do no better."""

    def columns(separator: str) -> int:
        return len(next(csv.reader([header], delimiter=separator)))

    return max((usual, *_SEPARATORS), key=columns)


def _filled(row: Sequence[str]) -> bool:
    return any(cell.strip() for cell in row)


def _why(row: Sequence[str], names: Sequence[str], last: bool) -> str:
    if len(row) > len(names):
        return " (a separator within a cell needs quotes around it)"
    return " (the file ends within it: cut short?)" if last else ""


def _check_end(number: int, rows: Sequence[Sequence[str]], column: str, name: str) -> None:
    """Raise where the file ends before its last cell, which no other row leaves blank."""
    *others, last = rows
    if others and not last[-1].strip() and all(row[-1].strip() for row in others):
        raise M3Error(
            f"{name}, row {number}, column {column!r}: the file ends before this cell, without an"
            " end of the line, expected what other rows have there (cut short?)"
        )
