"""The kinds of values that options take, and how a value is brought to the type of its kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..numerals import Notation

KINDS = {
    "text": "text",
    "number": "a number",
    "whole number": "a whole number",
    "true or false": "true or false",
    "numbers": "one or more numbers",
    "pair": "a pair (low, high)",
    "texts": "one or more names",
    "numbers by name": "numbers by name",
    "pairs by name": "pairs (low, high) by name",
    "texts by name": "texts by name",
    "columns by name": "texts by name",
    "units by name": "units (words or factors) by name",
    "conditions": "comparisons such as 'State=finished'",
    "number or by language": "a number, for all languages or by language",
    "numbers by language": "one or more numbers, for all languages or by language",
    "prior": "'weak', 'none', 'public', a Prior or the path of a .json file",
    "file": "the path of a file",
    "fit file": "the path of a fit file, or a Fits",
    "recipes": "the path of a .csv file, or a function from language to recipes",
    "object": "an object",
}


def names_in(value: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several, as a tuple: text is one name, and not its letters."""
    return (value,) if isinstance(value, str) else tuple(value)


def converted_to(kind: str, value: Any) -> Any:
    """A value in the canonical type of its kind. Raises `TypeError` or `ValueError`."""
    try:
        return _CONVERTERS[kind](value)
    except OverflowError as error:  # an integer of hundreds of digits
        raise ValueError("too large") from error


def _number(value: Any) -> float:
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, bytes | bool) or value is None:
        raise TypeError("not a number")
    return float(value)


def _read(text: str) -> float:
    found = Notation().read(text)
    if found is None:
        raise ValueError("not a number")
    return found.value


def _whole(value: Any) -> int:
    if isinstance(value, str) and _read(value).is_integer():
        return int(_read(value))
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError("not a whole number")
    return int(value.__index__())


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _switch(value: Any) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):  # NumPy's, too
        raise TypeError("neither true nor false")
    return bool(value)


def _numbers(value: Any) -> tuple[float, ...]:
    try:
        values = [value] if isinstance(value, str) else list(value)
    except TypeError:  # a single number, or an array of no dimensions
        values = [value]
    return _some(tuple(map(_number, values)))


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("empty")
    return values


def _pair(value: Any) -> tuple[float, float]:
    low, high = _numbers(value)
    if not low <= high:
        raise ValueError("low > high")
    return low, high


def _texts(value: Any) -> tuple[str, ...]:
    return _some(tuple(map(_text, names_in(value))))


def _conditions(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, names_in(value)))


def _unit(value: Any) -> str | float:
    return value if isinstance(value, str) else _number(value)


def _by_name(convert: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {_text(name): convert(each) for name, each in dict(value).items()}


def _number_or_by_language(value: Any) -> Any:
    return _by_name(_number)(value) if isinstance(value, Mapping) else _number(value)


def _numbers_by_language(value: Any) -> Any:
    """As it is, arrays included, but for numbers written as text."""
    if isinstance(value, Mapping):
        return {name: _numbers_by_language(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_numbers_by_language, value))
    return _read(value) if isinstance(value, str) else value


def _path(value: Any) -> Any:
    return value if isinstance(value, os.PathLike) else _text(value)


def _as_it_is(value: Any) -> Any:
    return value


_CONVERTERS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "number": _number,
    "whole number": _whole,
    "true or false": _switch,
    "numbers": _numbers,
    "pair": _pair,
    "texts": _texts,
    "numbers by name": _by_name(_number),
    "pairs by name": _by_name(_pair),
    "texts by name": _by_name(_text),
    "columns by name": _by_name(_text),
    "units by name": _by_name(_unit),
    "conditions": _conditions,
    "number or by language": _number_or_by_language,
    "numbers by language": _numbers_by_language,
    "prior": _as_it_is,
    "file": _path,
    "fit file": _as_it_is,
    "recipes": _as_it_is,
    "object": _as_it_is,
}
