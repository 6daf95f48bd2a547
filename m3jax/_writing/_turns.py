"""Writers in one folder: they take turns, and clear away what killed ones left."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    with ExitStack() as held:
        _clear(folder, mine=_lock(folder, held))
        yield


def _lock(folder: Path, held: ExitStack) -> bool:
    """Whether `held` now keeps other writers out of the folder of this name."""
    try:
        import fcntl

        while True:
            handle = os.open(folder, os.O_RDONLY)
            held.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Not left to closing: a forked process may hold the folder open, too.
            held.callback(quietly, fcntl.flock, handle, fcntl.LOCK_UN)
            if os.path.samestat(os.fstat(handle), os.stat(folder)):
                return True
            held.close()  # meanwhile `write_at_once` has put another folder there
    except (ImportError, OSError):
        return False


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
    match Path(os.readlink(link)).parts:
        case (os.pardir, folder, link.name) if _is_temporary(folder):
            here = link.parent.resolve()
            real = here.parent / folder
            if not real.is_symlink():
                exchange(real / link.name, here / link.name)
                remove_folder(real)


def _is_temporary(name: str) -> bool:
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)
