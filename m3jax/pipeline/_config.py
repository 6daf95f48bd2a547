"""The TOML file that `m3jax run` takes: read, checked, every key known."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import M3Error
from ..options import (
    KINDS,
    CompareOptions,
    FitOptions,
    NextOptions,
    OptimizeOptions,
    TableOptions,
    read_toml,
    toml_kinds,
)
from ..runs.readers import placed

# Section -> key -> kind of value, a key of `options.KINDS`.
_KINDS: dict[str, dict[str, str]] = {
    "": {
        "title": "text",
        "output": "text",
        "overwrite": "true or false",
        "figures": "text",
    },
    "runs": {"path": "text", **toml_kinds(TableOptions)},
    "fit": {"law": "text", **toml_kinds(FitOptions)},
    # The rest of its options are those of the fit.
    "compare": {"laws": "texts", **toml_kinds(CompareOptions, ("holdouts", "fraction"))},
    "optimize": toml_kinds(OptimizeOptions),
    "next": toml_kinds(NextOptions),
}
_REQUIRED = {
    "runs": ("path",),
    "compare": ("laws",),
    "optimize": ("compute", "target_tokens"),
    "next": ("budget",),
}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A checked configuration; each section holds keyword arguments.

    Attributes:
        title: of the report.
        output: folder for the results, relative to the current one.
        overwrite: whether results that are there already are replaced.
        figures: "png" or "svg" to draw figures into the folder as well; "" for none.
        runs_path: the run table, resolved against the configuration's own folder.
        runs: for `RunTable.read`.
        fit: for `fit`.
        compare: for `compare`, or None to leave the comparison out.
        optimize: for `optimize`, or None to leave the recipes out.
        next: for `next_runs`, or None to leave further runs out; what it does not say of the
            recipe to decide on is that of `optimize`.
    """

    title: str
    output: Path
    overwrite: bool
    figures: str
    runs_path: Path
    runs: Mapping[str, Any]
    fit: Mapping[str, Any]
    compare: Mapping[str, Any] | None
    optimize: Mapping[str, Any] | None
    next: Mapping[str, Any] | None


def read_config(path: str | os.PathLike[str]) -> RunConfig:
    """Read and check a configuration.

    Raises `M3Error` on a missing or broken file, an unknown or missing key, or a value of the wrong
    kind; the values themselves are checked where they are used.
    """
    path = Path(path)
    content = read_toml(path, _KINDS)
    for section, keys in _REQUIRED.items():
        for key in keys if section in content or section == "runs" else ():
            if key not in content.get(section, {}):
                raise M3Error(f"{path}: [{section}] needs {key!r} ({KINDS[_KINDS[section][key]]})")

    runs = dict(content["runs"])
    if "\0" in runs["path"]:
        raise M3Error(f"{path}: [runs] path: expected a file name, found {runs['path']!r}")
    return RunConfig(
        title=content.get("title", path.stem),
        output=Path(content.get("output", Path("out") / path.stem)),
        overwrite=content.get("overwrite", False),
        figures=content.get("figures", ""),
        runs_path=placed(runs.pop("path"), path.parent),
        runs=runs,
        fit=content.get("fit", {}),
        compare=content.get("compare"),
        optimize=content.get("optimize"),
        next=content.get("next"),
    )
