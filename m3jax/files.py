"""Files: written whole or not at all; one form of JSON and CSV; reading errors in words."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._errors import M3Error
from ._writing import Content, check_place, write_at_once, write_files

__all__ = [
    "cell_text",
    "check_place",
    "csv_text",
    "encoded",
    "file_name",
    "json_text",
    "parse_json",
    "read_json",
    "write_at_once",
    "write_bytes",
    "write_csv",
    "write_files",
    "write_folder",
    "write_json",
    "write_text",
]

_LONGEST_NAME = 40  # characters of up to 4 bytes, of the 255 that a name may have


def write_folder(contents: Mapping[Path, bytes]) -> tuple[Path, ...]:
    """`write_at_once` where that can be had, else `write_files`."""
    if not write_at_once(contents):
        write_files(contents)
    return tuple(contents)


def write_bytes(path: str | os.PathLike[str], data: Content) -> Path:
    """Write one file, whole or not at all: a crash leaves what stood at `path` untouched.

    A function that returns the data is called when no other may write to the folder. Raises
    `M3Error` if the file cannot be written.
    """
    (path,) = write_files({Path(path): data})
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """`write_bytes` of UTF-8 text."""
    return write_bytes(path, encoded(text))


def encoded(text: str) -> bytes:
    """UTF-8; halves of surrogate pairs, which are no text, as question marks."""
    return text.encode(errors="replace")


def file_name(text: str) -> str:
    """The letters and digits of a name, "_" for the rest, no longer than any file system takes."""
    return "".join(c if c.isalnum() else "_" for c in text[:_LONGEST_NAME])


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """`rows` as all CSV of m3jax is written: lists joined by "; ", None left blank.

    Text that a spreadsheet would take for a formula begins with an apostrophe, see `cell_text`.

    `columns` names and orders the columns; by default the keys of the first row, which all share.
    """
    buffer = io.StringIO()
    names = list(rows[0]) if columns is None else list(columns)
    writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return buffer.getvalue()


_FORMULA = tuple("=+-@\t\r")  # what spreadsheets take for the beginning of a formula


def _cell(value: Any) -> Any:
    """A value as a cell; text that a spreadsheet would carry out gets an apostrophe before it."""
    if isinstance(value, list):
        value = "; ".join(value)
    if not isinstance(value, str) or not value.lstrip("'").startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def cell_text(cell: str) -> str:
    """The text that `csv_text` has written as this cell."""
    return cell[1:] if cell[:1] == "'" and cell.lstrip("'").startswith(_FORMULA) else cell


def write_csv(
    path: str | os.PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
) -> Path:
    """`write_text` of `csv_text`."""
    return write_text(path, csv_text(rows, columns))


def json_text(content: Any) -> str:
    """`content` as all JSON of m3jax is written: one space a level, names as they are spelt.

    Raises `ValueError` on numbers that are not finite, which JSON does not have.
    """
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | os.PathLike[str], content: Any) -> Path:
    """`write_text` of `json_text`. Raises `M3Error` on numbers that are not finite."""
    try:
        text = json_text(content)
    except ValueError as error:
        raise M3Error(f"{path}: cannot be written: {error}") from error
    return write_text(path, text)


def parse_json(text: str, where: str, *, strict: bool = True) -> Any:
    """What JSON `text` holds. Raises `M3Error`, which begins with `where`, if it is none.

    NaN and infinities are none, unless it is not `strict`: others write them.
    """
    constant = _not_json if strict else float
    try:
        return json.loads(text, parse_constant=constant, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise M3Error(
            f"{where}: not valid JSON, perhaps cut short: {error.msg} at line {error.lineno}"
        ) from error
    except RecursionError as error:
        raise M3Error(
            f"{where}: not JSON that m3jax reads: lists or objects too deep in each other"
        ) from error
    except ValueError as error:  # also of Python's own, on integers of thousands of digits
        raise M3Error(f"{where}: not valid JSON: {error}") from error


def _not_json(name: str) -> Any:
    raise ValueError(f"found {name}, which JSON does not have")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return content


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds. Raises `M3Error` if there is none, or on another kind of file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise M3Error(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise M3Error(f"{path}: cannot be read: not UTF-8 text") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise M3Error(f"{path}: cannot be read: {reason}") from error
    return parse_json(text, str(path))
