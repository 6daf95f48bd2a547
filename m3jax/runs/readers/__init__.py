"""Sources of run tables: one file a format, and one line here.

A reader turns a path into a frame of raw cells, indexed by row number, the first row after the
header being 1. Names, units and checks of cells are not its business.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..._errors import M3Error
from ._csv import read_csv
from ._json_lines import read_json_lines
from ._parquet import read_parquet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READERS", "read_csv", "read_raw"]

# Ending of the file's name -> reader.
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
}


def read_raw(path: Path) -> pd.DataFrame:
    """The raw cells of a file. Raises `M3Error` on an unknown ending or an unreadable file."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        expected = ", ".join(READERS)
        raise M3Error(f"{path}: unknown format {path.suffix!r}, expected one of {expected}")
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise M3Error(f"{path}: expected UTF-8 text, found other bytes: {error}") from error
    except OSError as error:
        raise M3Error(f"{path}: cannot be read: {error.strerror or error}") from error
