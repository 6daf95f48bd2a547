"""How long work tells its caller how far it is, and whether to tell what is no result at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`, called a few times a stage; `done` counts from 0 to `total`."""

_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def in_quiet(quiet: bool) -> Iterator[None]:
    """Meanwhile results and errors are told and, if `quiet`, nothing else."""
    token = _QUIET.set(quiet)
    try:
        yield
    finally:
        _QUIET.reset(token)


def is_quiet() -> bool:
    """Whether the user wants results and errors only."""
    return _QUIET.get()
