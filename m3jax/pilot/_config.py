"""The TOML file that `m3jax pilot` takes, and tables of recipes to train."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from .._errors import M3Error
from ..formatting import quoted
from ..options import (
    KINDS,
    PilotDesign,
    PilotOptions,
    TableOptions,
    TrainingOptions,
    read_toml,
    toml_kinds,
)
from ..recipe import Recipe
from ..runs import Columns, read_recipes
from ..runs.readers import read_raw
from ._train import Training

_KINDS = {
    "": {
        "output": "text",
        "source": "text",
        "targets": "texts by name",
        "ensemble": "whole number",
        **toml_kinds(PilotOptions),
    },
    "training": toml_kinds(TrainingOptions),
    "design": toml_kinds(PilotDesign),
}
_FILES = ("output", "source", "tokenizer", "recipes")


def read_pilot_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings of a pilot: keyword arguments of `prepare`, and perhaps `ensemble`.

    Files are relative to the configuration's own folder, but for `output`, which is relative to the
    current one. Raises `M3Error` on a missing or broken file, an unknown or missing key, or a value
    of the wrong kind; the values themselves are checked where they are used.
    """
    path = Path(path)
    content = read_toml(path, _KINDS)
    for key in ("output", "source", "targets"):
        if key not in content:
            raise M3Error(f"{path}: needs {key!r} ({KINDS[_KINDS[''][key]]})")
    for key in _FILES[1:]:
        if key in content:
            content[key] = path.parent / content[key]
    content["targets"] = {k: path.parent / v for k, v in content["targets"].items()}
    content["training"] = Training(**content.pop("training", {}))
    content["design"] = PilotDesign(**content.pop("design", {}))
    return content


def recipes_from(path: str | os.PathLike[str]) -> Callable[[str], Recipe]:
    """From a .csv table of recipes, those of a language: (n,) leaves.

    Columns as in a run table, the loss aside; one written by `m3jax optimize --recipes` will do,
    its rows without a recipe being left out. Without a column `language` all recipes are for every
    language. Raises `M3Error` on a broken table, and for a language it does not have.
    """
    path = Path(path)
    frame = read_raw(path).frame
    names = ("language", "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio",
             "first_ratio")  # fmt: skip
    frame = frame[[name for name in frame.columns if name in names]]
    if "n_params" in frame.columns:
        frame = frame[frame["n_params"] != ""]
    table = Columns(frame, path.name, TableOptions())
    recipes, _ = read_recipes(table)
    language = table.text("language")

    def of(name: str) -> Recipe:
        if language is None:
            return recipes
        rows = language == name
        if not rows.any():
            raise M3Error(f"{path}: no recipe for {name!r}, only for {quoted(sorted({*language}))}")
        return jax.tree.map(lambda leaf: leaf[rows], recipes)

    return of
