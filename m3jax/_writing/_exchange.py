"""Two files or folders change places in one step, which Python's own `os` does not offer."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HERE = -100  # AT_FDCWD, of no account to absolute paths
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS

_CALLS: dict[str, Callable[[Any, bytes, bytes], int]] = {
    "linux": lambda system, a, b: system.renameat2(_HERE, a, _HERE, b, _EXCHANGE),
    "darwin": lambda system, a, b: system.renamex_np(a, b, _EXCHANGE),
}


def exchange(a: Path, b: Path) -> None:
    """What stands at `a` stands at `b` and the other way round; both are absolute.

    Raises `OSError` where the system or the file system cannot do that.
    """
    call = _CALLS.get(sys.platform)
    if call is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    try:
        failed = call(ctypes.CDLL(None, use_errno=True), os.fsencode(a), os.fsencode(b))
    except AttributeError as error:  # a C library of before the call
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))
