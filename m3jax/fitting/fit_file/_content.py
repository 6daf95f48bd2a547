"""What the JSON of a fit must say, checked entry by entry before anything is made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..._errors import M3Error, shown
from ...laws import Law, get_law
from ...options import FitOptions, TableOptions
from ...variables import RUN_VARIABLES

_MOST_RUNS = 2**53
_MOST = 1e200  # of any number; what is made of larger ones overflows
_MOST_LOG = 460.0  # its logarithm
_SCOPE = frozenset({*RUN_VARIABLES, "compute"} - {"first_ratio"})
_POPULATION = ("mean", "mean_sd", "sd", "rho", "low", "high")

Check = Callable[[Any], bool]


def law_of(path: object, content: Mapping[str, Any], law: Law | None) -> Law:
    """The law that `content` is about: `law`, or a registered one.

    Raises `M3Error` on another, and on another formula of it.
    """
    name: Any = content.get("law")
    if not _is_text(name):
        raise M3Error(f"{path}, law: expected a name, found {_found(content, 'law')}")
    if law is not None and law.name != name:
        raise M3Error(f"{path}, law: expected {law.name!r}, found {_shown(name)}")
    try:
        known = get_law(name[:80]) if law is None else law
    except M3Error as error:
        raise M3Error(f"{path}: {error}") from error
    # Coefficients of the same names mean something else in another formula.
    if content.get("formula") != known.formula:
        raise M3Error(
            f"{path}, formula: expected that of law {name}, {known.formula!r}, found"
            f" {_found(content, 'formula')}; fit again with this version"
        )
    return known


def check_content(
    path: object, content: Mapping[str, Any], law: Law, grades: Collection[str], not_fitted: str
) -> None:
    """Raise `M3Error`, naming language and field, unless `content` is what a fit of `law` writes.

    `grades` are the statuses of fitted languages, `not_fitted` that of the others.
    """
    _check_settings(f"{path}, settings", content.get("settings"), law)
    if "population" in content:
        _check_population(f"{path}, population", content["population"], law)
    languages = _object(str(path), content, "languages")
    if not languages:
        raise M3Error(f"{path}, languages: expected at least one")
    for name, entry in languages.items():
        where = f"{path}, language {name[:80]!r}"
        if not _is_text(name):
            raise M3Error(f"{where}: the name is no text")
        if not isinstance(entry, dict):
            raise M3Error(f"{where}: expected an object, found {_shown(entry)}")
        if entry.get("status") == not_fitted:
            _field(where, entry, "n_runs", _is_count, "a whole number >= 0")
            _field(where, entry, "messages", lambda v: _are_texts(v) and bool(v), "the reason")
        else:
            words = " or ".join(map(repr, (*grades, not_fitted)))
            _field(where, entry, "status", lambda v: isinstance(v, str) and v in grades, words)
            _check_fitted(where, entry, law)


def _check_fitted(where: str, entry: Mapping[str, Any], law: Law) -> None:
    for name, check, words in (
        ("converged", _is_switch, "true or false"),
        ("objective", lambda v: _is_number(v) and v >= 0, "a finite number >= 0"),
        ("r2", lambda v: _is_number(v) and v <= 1, "a finite number <= 1"),
        ("n_runs", _is_count, "a whole number >= 0"),
        ("start_agreement", _is_share, "a number from 0 to 1"),
        ("huber_delta", lambda v: _is_number(v) and v > 0, "a finite number > 0"),
        ("noise", lambda v: _is_number(v) and v >= 0, "a finite number >= 0"),
        ("noise_powers", _is_pair, "two finite numbers"),
        ("noise_middle", _is_pair, "two finite numbers"),
        ("widening", lambda v: _is_number(v) and v >= 1, "a finite number >= 1"),
        ("messages", _are_texts, "a list of texts"),
    ):
        _field(where, entry, name, check, words)
    coefficients = _object(where, entry, "coefficients")
    if list(coefficients) != list(law.names):
        raise M3Error(f"{where}, coefficients: expected those of law {law.name}")
    for name in law.names:
        inner = f"{where}, coefficient {name}"
        row = _object(inner, coefficients, name, named=False)
        _field(inner, row, "frozen", _is_switch, "true or false")
        for key in ("value", "low", "high"):
            _field(inner, row, key, _is_number, "a finite number")
    runs = _object(where, entry, "runs")
    ranges = _object(f"{where}, runs", runs, "ranges")
    if set(ranges) - {"stage_fraction"} != _SCOPE:
        raise M3Error(f"{where}, runs, ranges: expected those of {', '.join(sorted(_SCOPE))}")
    for name in ranges:
        _field(f"{where}, runs, ranges", ranges, name, _is_range, "[low, high], positive")
    known = set(RUN_VARIABLES)
    _field(
        f"{where}, runs", runs, "varies", lambda v: _are_texts(v) and set(v) <= known,
        f"some of {', '.join(RUN_VARIABLES)}",
    )  # fmt: skip
    _field(f"{where}, runs", runs, "first_share", _is_share, "a number from 0 to 1")


def _check_settings(where: str, settings: Any, law: Law) -> None:
    """Those of `fit`, by its own rules, and what was made of the prior and the run table."""
    if not isinstance(settings, dict):
        raise M3Error(f"{where}: expected an object, found {_shown(settings)}")
    own = [name for name in FitOptions.names() if name != "prior"]
    for name in own:
        if name not in settings:
            raise M3Error(f"{where}: {name} is missing")
    try:
        options = FitOptions.of(**{name: settings[name] for name in own})
    except M3Error as error:
        raise M3Error(f"{where}: {error}") from error
    unknown = set(options.fixed) - set(law.names)
    if unknown or not all(map(_is_number, options.fixed.values())):
        raise M3Error(f"{where}, fixed: expected finite values of coefficients of law {law.name}")
    _field(where, settings, "prior", _is_text, "text")
    _field(where, settings, "source", _is_text, "text")
    _field(where, settings, "notes", _are_texts, "a list of texts")
    reading = settings.get("reading")
    if not isinstance(reading, dict):
        raise M3Error(f"{where}: reading: expected an object, found {_shown(reading)}")
    try:
        TableOptions.of(**reading)
    except M3Error as error:
        raise M3Error(f"{where}, reading: {error}") from error
    known = {*own, "prior", "source", "notes", "reading", "prior_ranges", "prior_source"}
    known |= {"draws_engine"}
    if set(settings) - known:
        raise M3Error(f"{where}: unknown setting {_shown(min(set(settings) - known))}")
    if "draws_engine" in settings:
        engines = ("host", "batch")
        _field(where, settings, "draws_engine", lambda value: value in engines, "host or batch")
    if "prior_source" in settings:
        _field(where, settings, "prior_source", _is_text, "text")
    if "prior_ranges" in settings:
        ranges = _object(where, settings, "prior_ranges")
        for name in ranges:
            _field(f"{where}, prior_ranges", ranges, name, _is_pair, "[low, high]")


def _check_population(where: str, content: Any, law: Law) -> None:
    if not isinstance(content, dict):
        raise M3Error(f"{where}: expected an object, found {_shown(content)}")
    pools = ("partial", "full")
    _field(where, content, "pool", lambda v: isinstance(v, str) and v in pools, " or ".join(pools))
    _field(where, content, "languages", _is_count, "a whole number >= 0")
    _field(where, content, "rounds", _is_count, "a whole number >= 0")
    _field(where, content, "noise", lambda v: _is_number(v) and v >= 0, "a finite number >= 0")
    _field(where, content, "settled", _is_switch, "true or false")
    rows = _object(where, content, "coefficients")
    if not set(rows) <= set(law.names):
        raise M3Error(f"{where}, coefficients: expected some of those of law {law.name}")
    for name in rows:
        inner = f"{where}, coefficient {name}"
        row = _object(inner, rows, name, named=False)
        for key in _POPULATION:
            _field(inner, row, key, _is_number, "a finite number")
        if not abs(row["mean"]) + math.hypot(row["sd"], row["mean_sd"]) <= _MOST_LOG:
            raise M3Error(f"{inner}: mean and sd of a size that no fit gives")


def _object(where: str, content: Mapping[str, Any], key: str, named: bool = True) -> dict[str, Any]:
    place = f"{where}, {key}" if named else where
    value = content.get(key)
    if not isinstance(value, dict):
        raise M3Error(f"{place}: expected an object, found {_found(content, key)}")
    return value


def _field(where: str, content: Mapping[str, Any], key: str, check: Check, words: str) -> None:
    if key not in content or not check(content[key]):
        raise M3Error(f"{where}, {key}: expected {words}, found {_found(content, key)}")


def _found(content: Mapping[str, Any], key: str) -> str:
    return _shown(content[key]) if key in content else "nothing"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    return shown(value)


def _is_number(value: Any) -> bool:
    if type(value) not in (int, float):  # true and false are integers to Python
        return False
    try:
        return abs(float(value)) <= _MOST
    except OverflowError:
        return False


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_RUNS


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_range(value: Any) -> bool:
    return _is_pair(value) and 0 < value[0] <= value[1]
