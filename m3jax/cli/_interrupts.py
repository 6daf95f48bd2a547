"""Ctrl-C in long work: one line that says what is kept and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupted(Exception):
    """The user has interrupted a command; the message says what is kept."""


@contextmanager
def saying_what_is_kept(kept: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C meanwhile raises `Interrupted` with the sentence that `kept` returns."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(kept()) from error
