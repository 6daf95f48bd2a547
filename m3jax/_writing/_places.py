"""Places to write to: what can be told of them beforehand, and errors of the system about them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._errors import M3Error


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise `M3Error` unless a file can be written at `path`, as far as can be told beforehand."""
    path = Path(path)
    with told(path):
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            mode = None
        if mode is not None and stat.S_ISDIR(mode):
            raise M3Error(f"{path}: is a folder, expected a file name")
        if mode is not None and not stat.S_ISREG(mode):
            raise M3Error(f"{path}: is a device or pipe, expected the name of a file")
        folder = next(parent for parent in (path.parent, *path.parent.parents) if _is_there(parent))
        if not folder.is_dir():
            raise M3Error(f"{path}: cannot be written: {folder} is not a folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise M3Error(f"{path}: cannot be written: no permission to write to {folder}")
        longest = _longest_name(folder)
        for name in path.relative_to(folder).parts:
            if len(os.fsencode(name)) > longest:
                raise M3Error(f"{path}: cannot be written: a name of more than {longest} bytes")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Errors of the system, as `M3Error` about a path."""
    try:
        yield
    except M3Error:
        raise
    except OSError as error:
        raise M3Error(f"{path}: cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # a name with a null byte, or one that is no text
        raise M3Error(f"{str(path)!r}: cannot be written: not a file name") from error


def _is_there(folder: Path) -> bool:
    try:
        return folder.exists()
    except PermissionError:
        return False


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # a system that does not tell
        return 255
