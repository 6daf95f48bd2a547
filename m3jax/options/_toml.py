"""TOML files whose keys are all known and hold what they may hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import M3Error, shown, suggestion
from ._kinds import KINDS, converted_to

Kinds = Mapping[str, str]  # key -> kind, a key of `KINDS`


def read_toml(path: Path, known: Mapping[str, Kinds]) -> dict[str, Any]:
    """The content of a TOML file, values in the canonical type of their kind.

    `known` is section -> key -> kind, the section "" being the top. Raises `M3Error` on a missing
    or broken file, an unknown key, or a value of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise M3Error(f"{path}: no such file") from error
    except RecursionError as error:
        raise M3Error(f"{path}: not valid TOML: arrays or tables too deep in each other") from error
    except tomllib.TOMLDecodeError as error:
        raise M3Error(f"{path}: not valid TOML: {error}") from error
    except (OSError, ValueError) as error:  # also of Python's own, on thousands of digits
        reason = getattr(error, "strerror", None) or error
        raise M3Error(f"{path}: cannot be read: {reason}") from error

    sections = tuple(name for name in known if name)
    checked: dict[str, Any] = {}
    for key, value in content.items():
        if key in sections:
            if not isinstance(value, dict):
                raise M3Error(f"{path}: [{key}]: expected a section, found {shown(value)}")
            checked[key] = {
                inner: _checked(path, known[key], f"[{key}] ", inner, held)
                for inner, held in value.items()
            }
        else:
            checked[key] = _checked(path, known[""], "", key, value, also=sections)
    return checked


def _checked(
    path: Path, known: Kinds, where: str, key: str, value: Any, also: tuple[str, ...] = ()
) -> Any:
    if key not in known:
        hint = suggestion(key, [*known, *also])
        raise M3Error(f"{path}: {where}unknown key {key!r}; {hint}")
    try:
        return converted_to(known[key], value)
    except (TypeError, ValueError) as error:
        expected = KINDS[known[key]]
        raise M3Error(f"{path}: {where}{key}: expected {expected}, found {shown(value)}") from error
