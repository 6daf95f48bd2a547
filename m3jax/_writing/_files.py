"""Files of one call, anywhere: all or none of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from ._disk import make_folder, quietly, store, sync_folder
from ._places import check_place, told
from ._turns import temporary_name, turn

Content = bytes | Callable[[], bytes]


def write_files(
    contents: Mapping[Path, Content], *, then: Callable[[], None] | None = None
) -> tuple[Path, ...]:
    """Write files, all or none, and return their paths.

    All are on the disk before the first is renamed onto its place; renaming keeps the order. If
    anything fails, or the user interrupts, what stood there before stands there again, and folders
    that were made are gone. A process killed amid the renaming leaves whole files: those it had
    come to new, the others old; see `write_at_once`. A content that is a function is called when
    no other may write, so that it may go by what stands there. `then` is called when all is done,
    before another may write. Raises `M3Error` naming the file that cannot be written.
    """
    for path in contents:
        check_place(path)
    folders = sorted({path.parent for path in contents})
    with ExitStack() as made, ExitStack() as tidy, ExitStack() as undo:  # left in reverse
        for folder in folders:
            with told(folder):
                make_folder(folder, made)
            tidy.enter_context(turn(folder))
        staged = []
        for path, content in contents.items():
            data = content if isinstance(content, bytes) else content()
            with told(path):
                staged.append((_temporary(path.parent, data, tidy), path))
        for temporary, path in staged[:-1]:
            with told(path):
                _plan_return(path, tidy, undo)
                os.replace(temporary, path)
                sync_folder(path.parent)
        for temporary, path in staged[-1:]:
            with told(path):
                try:
                    os.replace(temporary, path)
                finally:
                    if not temporary.exists():  # all is done, even if an interrupt comes now
                        undo.pop_all()
                sync_folder(path.parent)
        if then is not None:
            then()
    return tuple(contents)


def _temporary(folder: Path, content: bytes, tidy: ExitStack) -> Path:
    """A temporary file of this content."""
    path = folder / temporary_name()
    tidy.callback(quietly, os.unlink, path)  # which fails once it has its own name
    store(path, content)
    return path


def _plan_return(path: Path, tidy: ExitStack, undo: ExitStack) -> None:
    """Have `undo` put back what stands at `path` now: a file, or nothing."""
    if path.exists():
        undo.callback(quietly, os.replace, _temporary(path.parent, path.read_bytes(), tidy), path)
    else:
        undo.callback(quietly, os.unlink, path)
