"""Ctrl-C: one line that says what is kept and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

INTERRUPTED = 130  # exit code

# What stood before the command at each place that it writes to; None where nobody asks.
_BEFORE: ContextVar[dict[Path, object] | None] = ContextVar("before", default=None)


class Interrupted(Exception):
    """The user has interrupted a command; the message says what is kept."""


@contextmanager
def saying_what_is_kept(kept: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C meanwhile raises `Interrupted` with the sentence that `kept` returns."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(kept()) from error


@contextmanager
def watching() -> Iterator[Callable[[], str]]:
    """While a command runs; gives what to say if it is interrupted: which of its files it wrote."""
    before: dict[Path, object] = {}
    token = _BEFORE.set(before)

    def interrupted() -> str:
        written = [str(place) for place, old in before.items() if _stands_at(place) != old]
        kept = f"written: {', '.join(written)}" if written else "nothing is written"
        return f"interrupted: {kept}" if before else "interrupted"

    try:
        yield interrupted
    finally:
        _BEFORE.reset(token)


def watch(*places: Path | None) -> None:
    """Let Ctrl-C say from now on whether the command has written these files."""
    before = _BEFORE.get()
    if before is not None:
        before.update({place: _stands_at(place) for place in places if place is not None})


def _stands_at(place: Path) -> object:
    try:
        found = place.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
