"""Sources of run tables: one file a format, and one line here.

A reader turns the bytes of a file, and its name for errors, into a `Raw`; that of a folder, a
database or a log takes the path. Names, units and checks of cells are not its business.
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
from ._mlflow import read_mlflow
from ._parquet import read_parquet
from ._raw import Raw, numbered
from ._tensorboard import EVENTS, read_tensorboard
from ._trainer_state import FILE as TRAINER_STATE
from ._trainer_state import read_trainer_folder
from ._wandb import LOGS, ON_SERVER, read_wandb, read_wandb_project

__all__ = ["READERS", "Raw", "name_of", "numbered", "placed", "read_raw"]

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
# Ending of a tracker's own file -> reader, and what a folder has somewhere below it -> reader.
TRACKERS: dict[str, Callable[[Path], Raw]] = {
    ".db": read_mlflow,
    ".sqlite": read_mlflow,
    ".wandb": read_wandb,
}
FOLDERS: dict[str, Callable[[Path], Raw]] = {
    f"**/{TRAINER_STATE}": read_trainer_folder,
    f"**/{LOGS}": read_wandb,
    f"**/{EVENTS}": read_tensorboard,
    "*/meta.yaml": read_mlflow,
}
_STANDARD_INPUT = Path("-")


def placed(source: str, folder: Path) -> Path:
    """A source that was named in a file of this folder; one on a server is nowhere in it."""
    return Path(source) if _is_on_server(Path(source)) else folder / source


def _is_on_server(path: Path) -> bool:
    return path.as_posix().startswith(ON_SERVER)


def name_of(path: Path) -> str:
    """What errors call a source."""
    if _is_on_server(path):
        return path.as_posix()
    return "standard input" if path == _STANDARD_INPUT else path.name


def read_raw(path: Path) -> Raw:
    """The raw cells of a file, a database or a folder; of standard input for "-".

    `wandb:entity/project` is a project on a server of Weights & Biases.

    Raises `M3Error` on an unknown ending or an unreadable file.
    """
    name = name_of(path)
    try:
        if path == _STANDARD_INPUT:
            content = sys.stdin.buffer.read()
            return _reader_for(content)(content, name)
        if _is_on_server(path):
            return read_wandb_project(name)
        if path.is_dir():
            return _folder_reader(path)(path)
        endings = [ending.lower() for ending in path.suffixes[-2:]]
        compressed = endings[-1:] == [".gz"]
        if endings[-1:] and endings[-1] in TRACKERS:
            return TRACKERS[endings[-1]](path)
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


def _folder_reader(folder: Path) -> Callable[[Path], Raw]:
    for pattern, reader in FOLDERS.items():
        if next(folder.glob(pattern), None) is not None:
            return reader
    raise M3Error(
        f"{folder}: a folder without runs, expected {TRAINER_STATE} files, TensorBoard's event "
        "files, logs of Weights & Biases or an MLflow store below it"
    )


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
