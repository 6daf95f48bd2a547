"""Writers in one folder: they take turns, and clear away what killed ones left."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ._disk import quietly, remove_folder
from ._exchange import exchange

_PREFIX, _SUFFIX = ".m3jax-", ".tmp"  # of temporary files and folders
_ABANDONED_S = 3600.0  # after which a temporary file is nobody's, where writers cannot take turns


def temporary_name() -> str:
    """A name that no one else has, and that `clear` knows."""
    return f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


@contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Keep other writers out of a folder, where the file system can, and clear it."""
    with _locked(folder) as locked:
        _clear(folder, mine=locked)
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Keep other writers out of a folder; False where the file system cannot do that."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            # Not left to closing: a forked process may hold the folder open, too.
            quietly(fcntl.flock, handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def _clear(folder: Path, mine: bool) -> None:
    """Remove what killed processes left, and bring home what `write_at_once` could not."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if _is_temporary(entry.name):
                    if mine or time.time() - entry.stat().st_mtime > _ABANDONED_S:
                        _remove(entry)
                elif mine and entry.is_symlink():
                    _bring_home(Path(entry))


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        remove_folder(Path(entry))
    else:
        os.unlink(entry)


def away(folder: str, name: str) -> str:
    """Where a link in one folder finds what is in the folder of a temporary name beside it."""
    return os.path.join(os.pardir, folder, name)


def _bring_home(link: Path) -> None:
    """A folder that a link of `away` stands for comes to stand in its place."""
    up, *folder, name = Path(os.readlink(link)).parts
    if (up, name) == (os.pardir, link.name) and len(folder) == 1 and _is_temporary(folder[0]):
        real = link.parent.absolute().parent / folder[0]
        if not real.is_symlink():
            exchange(real / name, link.absolute())
            remove_folder(real)


def _is_temporary(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)
