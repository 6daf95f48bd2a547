"""Writing to the disk: all files of a call or none, and never half a file.

Files are written under temporary names, flushed to the disk and only then renamed. Writers in one
folder take turns, so whoever's turn it is may clear away what killed ones left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ._errors import M3Error

_PREFIX, _SUFFIX = ".m3jax-", ".tmp"  # of temporary files
_ABANDONED_S = 3600.0  # after which a temporary file is nobody's, where writers cannot take turns


def write_files(
    contents: Mapping[Path, bytes], *, then: Callable[[], None] | None = None
) -> tuple[Path, ...]:
    """Write files, all or none, and return their paths.

    All are on the disk before the first is renamed onto its place; renaming keeps the order. If
    anything fails, or the user interrupts, what stood there before stands there again, and folders
    that were made are gone. A process killed amid the renaming leaves whole files: those it had
    come to new, the others old. `then` is called when all is done, before another may write.
    Raises `M3Error` naming the file that cannot be written.
    """
    for path in contents:
        check_place(path)
    folders = sorted({path.parent for path in contents})
    with ExitStack() as made, ExitStack() as tidy, ExitStack() as undo:  # left in reverse
        for folder in folders:
            with _told(folder):
                _make_folder(folder, made)
            _clear(folder, mine=tidy.enter_context(_turn(folder)))
        staged = []
        for path, content in contents.items():
            with _told(path):
                staged.append((_temporary(path.parent, content, tidy), path))
        for temporary, path in staged[:-1]:
            with _told(path):
                _plan_return(path, tidy, undo)
                os.replace(temporary, path)
                _sync_folder(path.parent)
        for temporary, path in staged[-1:]:
            with _told(path):
                try:
                    os.replace(temporary, path)
                finally:
                    if not temporary.exists():  # all is done, even if an interrupt comes now
                        undo.pop_all()
                _sync_folder(path.parent)
        if then is not None:
            then()
    return tuple(contents)


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise `M3Error` unless a file can be written at `path`, as far as can be told beforehand."""
    path = Path(path)
    with _told(path):
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
def _told(path: Path) -> Iterator[None]:
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


def _make_folder(folder: Path, made: ExitStack) -> None:
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.callback(_quietly, os.rmdir, folder)  # fails, rightly, where there are files by then


@contextmanager
def _turn(folder: Path) -> Iterator[bool]:
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
            _quietly(fcntl.flock, handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def _clear(folder: Path, mine: bool) -> None:
    """Remove the temporary files of killed processes."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            ours = entry.name.startswith(_PREFIX) and entry.name.endswith(_SUFFIX)
            if ours and (mine or time.time() - entry.stat().st_mtime > _ABANDONED_S):
                _quietly(os.unlink, entry.path)


def _temporary(folder: Path, content: bytes, tidy: ExitStack) -> Path:
    """A temporary file of this content, on the disk and not only in memory."""
    path = folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
    tidy.callback(_quietly, os.unlink, path)  # which fails once it has its own name
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _plan_return(path: Path, tidy: ExitStack, undo: ExitStack) -> None:
    """Have `undo` put back what stands at `path` now: a file, or nothing."""
    if path.exists():
        undo.callback(_quietly, os.replace, _temporary(path.parent, path.read_bytes(), tidy), path)
    else:
        undo.callback(_quietly, os.unlink, path)


def _sync_folder(folder: Path) -> None:
    """Renames reach the disk in their order; where folders cannot be flushed, as they may."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _quietly(function: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(OSError):
        function(*arguments)
