"""The training plan of recommendations as JSON and CSV, and the table of recipes."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from .._errors import M3Error
from .._version import __version__
from ..files import write_csv, write_json
from ..optimization import NO_STANDING, Recommendations
from ..stages import Batch, totals

SCHEMA_VERSION = 1

UNITS = {
    "compute": "FLOP (6·N·D)",
    "n_params": "parameters",
    "target_tokens": "unique target-language tokens: at hand; in a recipe, those to be read",
    "epochs": "passes over the target text that is read",
    "tokens": "training tokens, repeats counted",
    "target_probability": "share of target sequences (without a batch: tokens) to sample",
    "steps": "optimiser steps, the first of the run being 1",
    "loss": "nats per token on held-out target text",
    "budget_used": "share of compute",
}


def training_plan(recommendations: Recommendations, batch: Batch | None = None) -> dict[str, Any]:
    """What to train, stage by stage, for every feasible position: a dict ready for JSON.

    `plans` holds one entry each with language, budget, corpus size, regime, recipe, predicted loss,
    `stages` (see `Recipe.stage_plan`; with a `batch`, in whole steps and sequences too) and their
    `totals`; `infeasible` says where there is none and why. Raises `M3Error` where a run has fewer
    steps than stages.
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
        try:
            stages = recipe.stage_plan(batch)
        except M3Error as error:
            raise M3Error(
                f"language {record['language']!r}, compute {record['compute']:.4g} FLOP,"
                f" target_tokens {record['target_tokens']:.4g}: {error}"
            ) from error
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
                **{key: record[key] for key in NO_STANDING},
                "stages": stages,
                "totals": totals(stages, recipe.target_tokens),
            }
        )
    content = {
        "schema_version": SCHEMA_VERSION,
        "m3jax_version": __version__,
        "units": UNITS,
        "plans": plans,
        "infeasible": infeasible,
    }
    return content if batch is None else {**content, "batch": dataclasses.asdict(batch)}


def write_plan(
    path: str | os.PathLike[str], recommendations: Recommendations, batch: Batch | None = None
) -> Path:
    """Write `plan` as JSON. Raises `M3Error` as `plan` does or if the file cannot be written."""
    return write_json(path, training_plan(recommendations, batch))


def write_recipes(path: str | os.PathLike[str], recommendations: Recommendations) -> Path:
    """Write `Recommendations.records` as CSV, lists joined by "; " and None left blank.

    Raises `M3Error` if the file cannot be written.
    """
    return write_csv(path, recommendations.records())


def _positions(recommendations: Recommendations) -> list[tuple[int, int, int]]:
    shape = recommendations.feasible.shape
    return [(i, j, t) for i in range(shape[0]) for j in range(shape[1]) for t in range(shape[2])]
