"""Standard output and error: what they cannot write is replaced, and what fails is told."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys

from .._errors import M3Error
from .._progress import is_quiet
from ..formatting import printable

# What tables and sentences use beyond ASCII, for terminals that have no such letters.
_PLAIN = {
    "–": "-", "—": "-", "±": "+/-", "²": "2", "·": "*", "×": "x", "≤": "<=", "≥": ">=", "→": "->",
    "…": "...", "√": "sqrt", "Σ": "sum", "’": "'", "ρ": "rho", "δ": "delta", "τ": "tau",
}  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, "?") for c in text), error.end


def prepare_streams() -> None:
    """Whatever the encoding of standard output and error, writing to them does not fail for it."""
    codecs.register_error("m3jax", _replace)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who called
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="m3jax")


def is_unicode() -> bool:
    """Whether standard output takes any letter."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return encoding.lower().replace("-", "").replace("_", "").startswith("utf")


def say(text: str, *, error: bool = False) -> None:
    """Write a line for people, to standard output or error; control characters are told."""
    write_line(printable(text), error=error)


def remark(text: str, *, error: bool = False) -> None:
    """`say` what is no result, unless the user wants quiet."""
    if not is_quiet():
        say(text, error=error)


def write_line(text: str, *, error: bool = False) -> None:
    """Write a line as it is."""
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{text}\n")
    stream.flush()


def flush_output() -> None:
    """Have all output written. Raises `M3Error` where it cannot be, and then gives it up."""
    try:
        sys.stdout.flush()
    except OSError as error:
        give_up_output()
        if not isinstance(error, BrokenPipeError):  # a reader that went away has had enough
            raise M3Error(f"standard output: cannot be written: {error.strerror}") from error


def give_up_output() -> None:
    """Let what is still to be written go nowhere: at its end, Python would try once more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
