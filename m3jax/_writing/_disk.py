"""The disk: files and folders made, flushed and removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path


def store(path: Path, content: bytes) -> None:
    """A new file of this content, on the disk and not only in memory."""
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def make_folder(folder: Path, made: ExitStack) -> None:
    """Make a folder and those it is in; `made` takes them away again if they stay empty."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.callback(quietly, os.rmdir, folder)  # fails, rightly, where there are files by then


def remove_folder(folder: Path) -> None:
    """Remove a folder with its files; one that holds folders loses its files only."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            quietly(os.unlink, entry.path)  # which fails on folders
    quietly(os.rmdir, folder)


def sync_folder(folder: Path) -> None:
    """Renames reach the disk in their order; where folders cannot be flushed, as they may."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def quietly(function: Callable[..., object], *arguments: object) -> None:
    """Call a function of the system; that it fails is no matter."""
    with contextlib.suppress(OSError):
        function(*arguments)
