"""Recommendations as files other programs read: a table of recipes and a training plan."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from ._files import write_text
from ._version import __version__
from .optimization import Recommendations

SCHEMA_VERSION = 1

UNITS = {
    "compute": "FLOP (6·N·D)",
    "n_params": "parameters",
    "target_tokens": "unique target-language tokens",
    "epochs": "passes over the target corpus",
    "tokens": "training tokens, repeats counted",
    "loss": "nats per token on held-out target text",
}


def plan(recommendations: Recommendations) -> dict[str, Any]:
    """What to train, stage by stage, for every feasible position: a dict ready for JSON.

    `plans` holds one entry each with language, budget, corpus size, regime, recipe, predicted loss
    and `stages` (see `Recipe.stage_plan`); `infeasible` says where there is none and why.
    """
    plans, infeasible = [], []
    for position, record in zip(
        _positions(recommendations), recommendations.records(), strict=True
    ):
        place = {key: record[key] for key in ("language", "compute", "target_tokens")}
        if not record["feasible"]:
            infeasible.append({**place, "reason": record["infeasible"]})
            continue
        recipe = recommendations.at(*position)
        plans.append(
            {
                **place,
                "regime": record["regime"],
                "recipe": {**vars(recipe), "stage_fraction": record["stage_fraction"]},
                "predicted_loss": {
                    "value": record["loss"],
                    "low": record["loss_low"],
                    "high": record["loss_high"],
                },
                "active_limits": record["active_limits"],
                "outside_runs": record["outside_runs"],
                "stages": recipe.stage_plan(),
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "m3jax_version": __version__,
        "units": UNITS,
        "plans": plans,
        "infeasible": infeasible,
    }


def write_plan(path: str | os.PathLike[str], recommendations: Recommendations) -> Path:
    """Write `plan` as JSON. Raises `M3Error` if the file cannot be written."""
    return write_text(path, json.dumps(plan(recommendations), indent=1, allow_nan=False) + "\n")


def write_recipes(path: str | os.PathLike[str], recommendations: Recommendations) -> Path:
    """Write `Recommendations.records` as CSV, lists joined by "; " and None left blank.

    Raises `M3Error` if the file cannot be written.
    """
    records = recommendations.records()
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow(
            {key: "; ".join(v) if isinstance(v, list) else v for key, v in record.items()}
        )
    return write_text(path, buffer.getvalue())


def _positions(recommendations: Recommendations) -> list[tuple[int, int, int]]:
    shape = recommendations.feasible.shape
    return [(i, j, t) for i in range(shape[0]) for j in range(shape[1]) for t in range(shape[2])]
