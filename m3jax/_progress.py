"""How long work tells its caller how far it is."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""`progress(stage, done, total)`, called a few times a stage; `done` counts from 0 to `total`."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""
