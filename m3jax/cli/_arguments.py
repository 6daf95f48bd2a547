"""Values typed on the command line, read with errors that name the option."""

from __future__ import annotations

from .._errors import M3Error


def pairs(option: str, text: str | None) -> dict[str, str]:
    """NAME=VALUE,… as a dict; nothing for None."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise M3Error(f"{option}: expected NAME=VALUE,…, found {part!r}")
        if name in found:
            raise M3Error(f"{option}: {name!r} is given twice")
        found[name] = value
    return found


def numbers(option: str, text: str | None) -> dict[str, float]:
    """NAME=NUMBER,… as a dict."""
    return {name: one(f"{option} {name}", v) for name, v in pairs(option, text).items()}


def units(text: str | None) -> dict[str, str | float]:
    """NAME=UNIT,… as a dict, factors as numbers."""
    found: dict[str, str | float] = {}
    for name, value in pairs("--units", text).items():
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = value
    return found


_SUFFIXES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def one(option: str, text: str) -> float:
    """A number, perhaps with a suffix K, M, B or T."""
    text = text.strip()
    scale = _SUFFIXES.get(text[-1:], 1.0)
    try:
        return float(text[:-1] if scale > 1 else text) * scale
    except ValueError as error:
        raise M3Error(
            f"{option}: expected a number such as 2500, 2.5e3 or 2.5K, found {text!r}"
        ) from error


def amounts(option: str, text: str) -> list[float]:
    """Numbers separated by commas."""
    return [one(option, part) for part in text.split(",")]


def names(option: str, text: str) -> list[str]:
    """Names separated by commas, each once."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise M3Error(f"{option}: expected NAME,…, found {text!r}")
    return list(dict.fromkeys(found))


def amount(option: str, text: str | None) -> float | None:
    """A number, or None."""
    return None if text is None else one(option, text)


def bounds(option: str, text: str | None) -> tuple[float, float] | None:
    """LOW,HIGH, or None."""
    if text is None:
        return None
    values = amounts(option, text)
    if len(values) != 2:
        raise M3Error(f"{option}: expected LOW,HIGH, found {text!r}")
    return values[0], values[1]
