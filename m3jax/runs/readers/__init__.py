"""Sources of run tables: one file a format, and one line here.

A reader turns the bytes of a file, and its name for errors, into a `Raw`. Names, units and checks
of cells are not its business.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

from ..._errors import M3Error
from ._csv import read_csv, read_tsv
from ._excel import read_excel
from ._json import read_document
from ._json_lines import read_json_lines
from ._parquet import read_parquet
from ._raw import Raw, numbered

__all__ = ["READERS", "Raw", "name_of", "numbered", "read_raw"]

Reader = Callable[[bytes, str], Raw]

# Ending of the file's name -> reader. All of them may be compressed, as in .csv.gz.
READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": read_document,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
    ".xlsx": read_excel,
}
_STANDARD_INPUT = Path("-")


def name_of(path: Path) -> str:
    """What errors call a source."""
    return "standard input" if path == _STANDARD_INPUT else path.name


def read_raw(path: Path) -> Raw:
    """The raw cells of a file, or of standard input for "-".

    Raises `M3Error` on an unknown ending or an unreadable file.
    """
    name = name_of(path)
    try:
        if path == _STANDARD_INPUT:
            content = sys.stdin.buffer.read()
            return _reader_for(content)(content, name)
        endings = [ending.lower() for ending in path.suffixes[-2:]]
        compressed = endings[-1:] == [".gz"]
        reader = READERS.get("".join(endings[:-1] if compressed else endings[-1:]))
        if reader is None:
            raise M3Error(
                f"{path}: unknown format {''.join(endings[-1 - compressed :])!r}, expected one of "
                f"{', '.join(READERS)}, each with or without .gz: save the table as .csv"
            )
        content = path.read_bytes()
        return reader(_decompressed(content, name) if compressed else content, name)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise M3Error(
            f"{name}, line {line}: expected UTF-8 text, found the byte "
            f"0x{error.object[error.start]:02x} (Latin-1 or Windows-1252? Save it as UTF-8: "
            "iconv -f windows-1252 -t utf-8)"
        ) from error
    except OSError as error:
        raise M3Error(f"{path}: cannot be read: {error.strerror or error}") from error


def _decompressed(content: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise M3Error(f"{name}: broken or truncated gzip file: {error}") from error


def _reader_for(content: bytes) -> Reader:
    """The reader of a content without a name."""
    if content[:4] == b"PAR1":
        return read_parquet
    if content[:4] == b"PK\x03\x04":
        return read_excel
    if content[:2] == b"\x1f\x8b":
        return _read_compressed
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] == b"[":
        return read_document
    # A file of one object is one of lines, too, unless it goes over several.
    return read_json_lines if start[:1] == b"{" else read_csv


def _read_compressed(content: bytes, name: str) -> Raw:
    plain = _decompressed(content, name)
    return _reader_for(plain)(plain, name)
