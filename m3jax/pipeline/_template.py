"""A configuration to begin with, made for a run table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import formatting
from ..runs import RunTable

_LARGER = 4.0  # times the largest run: the second budget


def config_for(runs: RunTable, table: Path, config: Path) -> str:
    """TOML that `m3jax run` takes as it is, with what there is to choose from in comments.

    Args:
        runs: the table as it was read.
        table: its file.
        config: where the configuration will stand, which paths in it are relative to.
    """
    recipe = runs.recipe
    largest = float(f"{recipe.compute.max():.2g}")
    tokens = sorted({float(f"{x:.2g}") for x in _ends(recipe.target_tokens)})
    path = os.path.relpath(table.resolve(), config.resolve().parent)
    sizes = "–".join(map(formatting.count, _ends(recipe.n_params)))
    source = float(np.max(recipe.source_tokens))
    lines = [
        f"# {runs.summary()}",
        f"# m3jax run {config}",
        f"title = {_toml(table.stem)}",
        f'output = "out/{config.stem}"   # relative to the folder you run in',
        "",
        "[runs]",
        f"path = {_toml(path)}   # relative to this file",
        *(f"{name} = {_toml(value)}" for name, value in runs.reading.items()),
        *(f"# {note}" for note in runs.notes),
        '# where = ["State=finished"]       # rows to read; also skip_incomplete, last_checkpoint,',
        "#                                   # keep_best, drop_highest",
        "",
        "[fit]",
        'law = "m3"                         # m3jax laws lists the others',
        "draws = 200                        # for the intervals; 0 for none",
        '# pool = "partial"                  # languages with few runs borrow from the others',
        '# prior = "public"                  # what public run tables say, where runs are few',
        "",
        "[compare]                          # which law predicts runs that it has not seen?",
        'laws = ["m3", "chinchilla", "data_constrained"]',
        'holdouts = ["compute"]             # also epochs, n_params, target_tokens, target_ratio',
        "",
        "[optimize]",
        f"compute = [{largest:g}, {_LARGER * largest:g}]   # FLOP: the largest run, and 4 times",
        f"target_tokens = [{', '.join(f'{x:g}' for x in tokens)}]   # unique target tokens at hand",
        f"# max_source_tokens = {source:.3g}      # as many as any run had",
        f"# n_params = [1e6, 1e9]             # model sizes allowed; the runs had {sizes}",
        "# ladder = [1e8, 3e8, 1e9]          # the only sizes that can be trained",
        "# epochs = [1, 16]",
        "",
        "[next]                             # which runs would sharpen the first recipe most?",
        f"budget = {largest:g}                 # FLOP for each language",
        "runs = 4",
        "",
    ]
    return "\n".join(line.rstrip() for line in lines)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value}"
