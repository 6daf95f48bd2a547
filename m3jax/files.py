"""Files: written whole or not at all; one form of JSON and CSV; reading errors in words."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._errors import M3Error


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to a temporary file beside `path`, then rename it onto `path`.

    A crash on the way leaves whatever stood at `path` untouched.
    Raises `M3Error` if the file cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise M3Error(f"{path}: is a folder, expected a file name")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes private files; give the result the permissions of any other new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise M3Error(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """`write_bytes` of UTF-8 text."""
    return write_bytes(path, text.encode())


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """`rows` as all CSV of m3jax is written: lists joined by "; ", None left blank.

    `columns` names and orders the columns; by default the keys of the first row, which all share.
    """
    buffer = io.StringIO()
    names = list(rows[0]) if columns is None else list(columns)
    writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "; ".join(v) if isinstance(v, list) else v for key, v in row.items()})
    return buffer.getvalue()


def write_csv(
    path: str | os.PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
) -> Path:
    """`write_text` of `csv_text`."""
    return write_text(path, csv_text(rows, columns))


def json_text(content: Any) -> str:
    """`content` as all JSON of m3jax is written: one space a level, names as they are spelt.

    Raises ValueError on numbers that are not finite, which JSON does not have.
    """
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | os.PathLike[str], content: Any) -> Path:
    """`write_text` of `json_text`. Raises `M3Error` on numbers that are not finite."""
    try:
        text = json_text(content)
    except ValueError as error:
        raise M3Error(f"{path}: cannot be written: {error}") from error
    return write_text(path, text)


def parse_json(text: str, where: str) -> Any:
    """What JSON `text` holds. Raises `M3Error`, which begins with `where`, if it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise M3Error(
            f"{where}: not valid JSON, perhaps cut short: {error.msg} at line {error.lineno}"
        ) from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds. Raises `M3Error` if there is none, or on another kind of file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise M3Error(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise M3Error(f"{path}: cannot be read: {error}") from error
    return parse_json(text, str(path))
