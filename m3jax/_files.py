"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ._errors import M3Error


def write_atomically(
    path: str | os.PathLike[str], write: Callable[[IO[Any]], object], *, mode: str = "w"
) -> Path:
    """Call `write` on a temporary file beside `path`, then rename it onto `path`.

    A crash or a failing `write` leaves whatever stood at `path` untouched.
    Raises `M3Error` if the folder cannot be written to.
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise M3Error(f"{path}: is a folder, expected a file name")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, mode, encoding=encoding) as file:
            write(file)
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
    """Write `text` to `path` atomically."""
    return write_atomically(path, lambda file: file.write(text))
