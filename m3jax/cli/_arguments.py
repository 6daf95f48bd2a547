"""Values typed on the command line, read with errors that name the option."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .._errors import M3Error
from ..numerals import Notation


def pairs(option: str, text: str | None) -> dict[str, str]:
    """NAME=VALUE,… as a dict; nothing for None."""
    return _by_name(option, text.split(",") if text else (), "VALUE")


def _by_name(option: str, parts: Iterable[str], what: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise M3Error(f"{option}: expected NAME={what},…, found {part!r}")
        if name in values:
            raise M3Error(f"{option}: {name!r} is given twice")
        values[name] = value
    return values


def numbers(option: str, text: str | None) -> dict[str, float]:
    """NAME=NUMBER,… as a dict."""
    return {name: number(f"{option} {name}", v) for name, v in pairs(option, text).items()}


# A comma ends a column's name only where the next pair begins: names may have commas themselves.
_NEXT_PAIR = re.compile(r",(?=\s*\w+\s*=)")


def columns(option: str, texts: Sequence[str]) -> dict[str, str]:
    """NAME=COLUMN,…, perhaps several times, as a dict."""
    parts = (part for text in texts for part in _NEXT_PAIR.split(text))
    return _by_name(option, parts, "COLUMN")


def units(option: str, texts: Sequence[str]) -> dict[str, str | float]:
    """NAME=UNIT,…, perhaps several times, as a dict, factors as numbers."""
    scales: dict[str, str | float] = {}
    for name, value in pairs(option, ",".join(texts)).items():
        factor = Notation().read(value)
        scales[name] = factor.value if factor else value
    return scales


def number(option: str, text: str) -> float:
    """A number as `numerals` has it."""
    found = Notation().read(text)
    if found is None:
        raise M3Error(f"{option}: expected {Notation().expected}, found {text.strip()!r}")
    return found.value


def whole(option: str, text: str) -> int:
    """A whole number, written as any other."""
    value = number(option, text)
    if not value.is_integer():
        raise M3Error(f"{option}: expected a whole number, found {text.strip()!r}")
    return int(value)


def amounts(option: str, text: str) -> list[float]:
    """Numbers separated by commas."""
    return [number(option, part) for part in text.split(",")]


def names(option: str, text: str) -> list[str]:
    """Names separated by commas, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise M3Error(f"{option}: expected NAME,…, found {text!r}")
    return list(dict.fromkeys(parts))


def bounds(option: str, text: str) -> tuple[float, float]:
    """LOW,HIGH."""
    values = amounts(option, text)
    if len(values) != 2:
        raise M3Error(f"{option}: expected LOW,HIGH, found {text!r}")
    return values[0], values[1]


def by_language(option: str, text: str) -> list[float] | dict[str, float]:
    """Numbers separated by commas, for all languages, or LANGUAGE=NUMBER,…."""
    return numbers(option, text) if "=" in text else amounts(option, text)


def one_or_by_language(option: str, text: str) -> float | dict[str, float]:
    """A number, for all languages, or LANGUAGE=NUMBER,…."""
    return numbers(option, text) if "=" in text else number(option, text)
