"""The TOML file that `m3jax pilot` takes, and tables of recipes to train."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

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
_SEEDS = 2**32  # different ones there are
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
    table = _sheet(path)
    recipes, _ = read_recipes(table)

    def of(name: str) -> Recipe:
        rows = _rows_of(table, path, name)
        return jax.tree.map(lambda leaf: leaf[rows], recipes)

    return of


def seeds_from(path: str | os.PathLike[str]) -> Callable[[str], tuple[int, ...] | None]:
    """From such a table, the seed of each of a language's recipes, (n,); None without that column.

    Raises `M3Error` as `recipes_from` does, and on a seed that is no whole number from 0 to
    2^32 - 1.
    """
    table = _sheet(path)
    seeds = table.number("seed")
    if seeds is not None:
        whole = (seeds >= 0) & (seeds < _SEEDS) & (seeds == np.floor(seeds))
        table.require(whole, ["seed"], "a whole number from 0 to 2^32 - 1")

    def of(name: str) -> tuple[int, ...] | None:
        if seeds is None:
            return None
        return tuple(seeds[_rows_of(table, path, name)].astype(np.int64).tolist())

    return of


def _sheet(path: str | os.PathLike[str]) -> Columns:
    """What of a table says which runs to do."""
    path = Path(path)
    frame = read_raw(path).frame
    names = ("language", "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio",
             "first_ratio", "seed")  # fmt: skip
    frame = frame[[name for name in frame.columns if name in names]]
    if "n_params" in frame.columns:
        frame = frame[frame["n_params"] != ""]
    return Columns(frame, path.name, TableOptions())


def _rows_of(table: Columns, path: str | os.PathLike[str], name: str) -> np.ndarray:
    """Which rows are for a language, (n,) bool. Raises `M3Error` if none is."""
    language = table.text("language")
    if language is None:
        return np.ones(len(table.frame), dtype=bool)
    rows = np.asarray(language == name)
    if not rows.any():
        raise M3Error(f"{path}: no recipe for {name!r}, only for {quoted(sorted({*language}))}")
    return rows
