"""The TOML file that `m3jax run` takes: read, checked, every key known."""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import M3Error

# Section -> key -> what it may hold. "pair" is two numbers, low and high.
_KEYS: dict[str, dict[str, str]] = {
    "": {"title": "text", "output": "text"},
    "runs": {
        "path": "text",
        "columns": "texts by name",
        "units": "units by name",
        "drop_highest": "whole number",
    },
    "fit": {
        "law": "text",
        "fixed": "numbers by name",
        "huber_delta": "number",
        "starts": "whole number",
        "draws": "whole number",
        "level": "number",
        "prior": "text",
        "pool": "text",
        "bootstrap": "text",
        "seed": "whole number",
    },
    "compare": {"laws": "texts", "holdouts": "texts", "fraction": "number"},
    "optimize": {
        "compute": "numbers",
        "target_tokens": "numbers",
        "languages": "texts",
        "n_params": "pair",
        "epochs": "pair",
        "target_ratio": "pair",
        "final_ratio": "pair",
        "stage_fraction": "pair",
        "first_share": "number",
        "max_total_tokens": "number",
        "max_source_tokens": "number",
        "max_source_epochs": "number",
        "ladder": "numbers",
        "min_first_ratio": "number",
        "inference_tokens": "number",
        "max_gpu_hours": "number",
        "flops_per_second": "number",
        "source_fits": "text",
        "max_source_loss": "number",
        "objective": "text",
        "certify": "true or false",
        "gap": "number",
        "extrapolate": "true or false",
        "draws": "whole number",
        "level": "number",
    },
}
_REQUIRED = {"runs": ("path",), "compare": ("laws",), "optimize": ("compute", "target_tokens")}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _several(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, kind) for v in value)


def _named(value: Any, test: Any) -> bool:
    return isinstance(value, dict) and all(test(v) for v in value.values())


_TESTS = {
    "text": lambda v: isinstance(v, str),
    "number": _number,
    "whole number": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "true or false": lambda v: isinstance(v, bool),
    "texts": lambda v: _several(v, str),
    "numbers": lambda v: _number(v) or (_several(v, (int, float)) and all(map(_number, v))),
    "pair": lambda v: isinstance(v, list) and len(v) == 2 and all(map(_number, v)),
    "texts by name": lambda v: _named(v, lambda x: isinstance(x, str)),
    "numbers by name": lambda v: _named(v, _number),
    "units by name": lambda v: _named(v, lambda x: isinstance(x, str) or _number(x)),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """A checked configuration; each section holds keyword arguments.

    Attributes:
        title: of the report.
        output: folder for the results, relative to the current one.
        runs_path: the run table, resolved against the configuration's own folder.
        runs: for `RunTable.read`.
        drop_highest: for `RunTable.drop_highest`.
        fit: for `fit`.
        compare: for `compare`, or None to leave the comparison out.
        optimize: for `optimize`; `source_fits` is the path of a fit file.
    """

    title: str
    output: Path
    runs_path: Path
    runs: Mapping[str, Any]
    drop_highest: int
    fit: Mapping[str, Any]
    compare: Mapping[str, Any] | None
    optimize: Mapping[str, Any]


def read_config(path: str | os.PathLike[str]) -> Config:
    """Read and check a configuration.

    Raises `M3Error` on a missing or broken file, an unknown or missing key, or a value of the wrong
    kind; the values themselves are checked where they are used.
    """
    path = Path(path)
    content = read_toml(path, _KEYS)
    for section in ("runs", "optimize", *(["compare"] if "compare" in content else [])):
        for key in _REQUIRED[section]:
            if key not in content.get(section, {}):
                raise M3Error(f"{path}: [{section}] needs {key!r} ({_KEYS[section][key]})")

    runs = dict(content["runs"])
    return Config(
        title=content.get("title", path.stem),
        output=Path(content.get("output", Path("out") / path.stem)),
        runs_path=(path.parent / runs.pop("path")),
        drop_highest=runs.pop("drop_highest", 0),
        runs=runs,
        fit=content.get("fit", {}),
        compare=content.get("compare"),
        optimize={
            key: tuple(value) if _KEYS["optimize"][key] == "pair" else value
            for key, value in content["optimize"].items()
        },
    )


def read_toml(path: Path, known: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The content of a TOML file whose keys are all known and hold what they may hold.

    `known` is section -> key -> kind of value (a key of `_TESTS`), the section "" being the top.
    Raises `M3Error` on a missing or broken file, an unknown key, or a value of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise M3Error(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise M3Error(f"{path}: cannot be read: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise M3Error(f"{path}: not valid TOML: {error}") from error

    sections = tuple(name for name in known if name)
    for key, value in content.items():
        if key in sections:
            if not isinstance(value, dict):
                raise M3Error(f"{path}: [{key}]: expected a section, found {value!r}")
            for inner, held in value.items():
                _check(path, known[key], key, inner, held)
        else:
            _check(path, known[""], "", key, value, also=sections)
    return content


def _check(
    path: Path,
    known: Mapping[str, str],
    section: str,
    key: str,
    value: Any,
    also: tuple[str, ...] = (),
) -> None:
    where = f"[{section}] " if section else ""
    if key not in known:
        close = difflib.get_close_matches(key, [*known, *also], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join([*known, *also])}"
        raise M3Error(f"{path}: {where}unknown key {key!r}; {hint}")
    if not _TESTS[known[key]](value):
        raise M3Error(f"{path}: {where}{key}: expected {known[key]}, found {value!r}")
