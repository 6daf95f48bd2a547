"""Bad input, told in a sentence a user can act on, with names as the user writes them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType


class M3Error(ValueError):
    """Bad input: names the file, row, column or language, and what was expected."""


# Option -> its flag, while a command of the command line runs. In Python and TOML names are names.
_FLAGS: ContextVar[Mapping[str, str]] = ContextVar("flags", default=MappingProxyType({}))
_MOST_KNOWN = 20  # names in a message


@contextmanager
def named_by_flags(flags: Mapping[str, str]) -> Iterator[None]:
    """Let messages made meanwhile name options by these flags, too."""
    token = _FLAGS.set({**_FLAGS.get(), **flags})
    try:
        yield
    finally:
        _FLAGS.reset(token)


def option_name(name: str) -> str:
    """An option as the caller writes it: `keep_best`, or `--keep-best`."""
    return _FLAGS.get().get(name, name)


def setting(name: str, value: str | Sequence[str] | Mapping[str, str] = "True") -> str:
    """An option and its value as the caller writes them: `keep_best=True`, or `--keep-best`."""
    flag = _FLAGS.get().get(name)
    if isinstance(value, Mapping):
        typed = ",".join(f"{key}={each}" for key, each in value.items())
    elif not isinstance(value, str):
        value = tuple(value)
        typed = ",".join(value)
        value = f"({', '.join(value)})"
    else:
        typed = value
    if flag is None:
        return f"{name}={value}"
    return flag if typed == "True" else f"{flag} {typed}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like an unknown one, None if none is near."""
    by_case: dict[str, str] = {}
    for each in known:
        by_case.setdefault(each.casefold(), each)
    close = difflib.get_close_matches(name.casefold(), list(by_case), n=1)
    return by_case[close[0]] if close else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: the nearest known one, or which there are."""
    known = list(known)
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {near!r}?"
    more = len(known) - _MOST_KNOWN
    shown = ", ".join(known[:_MOST_KNOWN]) or "none"
    return f"known: {shown}" + (f" and {more} more" if more > 0 else "")


def shown(value: object) -> str:
    """A value in a message: in one line, and not the whole of it where it is long."""
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # of thousands of digits, or of lists in lists
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:117]}..."
