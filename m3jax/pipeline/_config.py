"""The TOML file that `m3jax run` takes: read, checked, every key known."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import M3Error
from ..options import FitOptions, read_toml, toml_kinds

# Section -> key -> what it may hold. "pair" is two numbers, low and high.
_KEYS: dict[str, dict[str, str]] = {
    "": {"title": "text", "output": "text"},
    "runs": {
        "path": "text",
        "columns": "texts by name",
        "units": "units by name",
        "drop_highest": "whole number",
    },
    "fit": {"law": "text", **toml_kinds(FitOptions)},
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
        optimize=content["optimize"],
    )
