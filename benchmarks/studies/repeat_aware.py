"""Does `m3`, fitted on the Wikipedia runs, put the best target ratio where it was measured?

    python -m benchmarks.studies.repeat_aware --json

The runs are those of repeat-aware data mixing (arXiv:2606.07597): one model size, five budgets and
three corpus sizes in nine cells, each with several target ratios. With model size, total tokens and
corpus held, the ratio with the lowest predicted loss is compared with the best one measured.

Then the question a user has: fitted on the shorter horizons only, what is recommended at the
longest one (twice the compute of any run fitted), and how much worse than the best measured run is
that? Its loss is interpolated, linearly in log r, between the runs measured there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.data import data_folder
from m3jax import Fits, Recipe, RunTable, fit, optimize

COLUMNS = {
    "n_params": "params_nominal",
    "target_tokens": "hq_unique_tokens_approx",
    "target_ratio": "r_target",
    "loss": "hq_val_loss",
}


def read_runs(folder: Path) -> RunTable:
    return RunTable.read(folder / "repeat_aware" / "runs_wikipedia.csv", columns=COLUMNS)


def best_ratio(fits: Fits, n_params: float, target_tokens: float, total_tokens: float) -> float:
    """The ratio with the lowest predicted loss, model size, corpus and total tokens held."""
    low, high = fits.scopes[0].ranges["target_ratio"]
    ratio = np.geomspace(low, high, 4001)
    recipe = Recipe.create(
        n_params=n_params,
        target_tokens=target_tokens,
        epochs=ratio * total_tokens / target_tokens,
        target_ratio=ratio,
    )
    return float(ratio[np.argmin(fits.predict(recipe))])


def cells(runs: RunTable, fits: Fits) -> list[dict[str, float]]:
    """Measured and predicted best ratio in each (corpus, total tokens) cell."""
    # Corpus and total tokens are quoted with rounding: cells are told apart to within 2%.
    corpus = np.round(np.log(runs.recipe.target_tokens) / 0.02).astype(int)
    total = np.round(np.log(runs.recipe.total_tokens) / 0.02).astype(int)
    rows = []
    for key in sorted(set(zip(corpus.tolist(), total.tolist(), strict=True))):
        here = np.flatnonzero((corpus == key[0]) & (total == key[1]))
        best = here[np.argmin(runs.loss[here])]
        held = [
            float(getattr(runs.recipe, name)[best])
            for name in ("n_params", "target_tokens", "total_tokens")
        ]
        measured, predicted = float(runs.recipe.target_ratio[best]), best_ratio(fits, *held)
        rows.append(
            {
                "target_tokens": held[1],
                "total_tokens": held[2],
                "runs": len(here),
                "measured_ratio": measured,
                "predicted_ratio": predicted,
                "abs_dlog_r": abs(np.log(predicted / measured)),
            }
        )
    return rows


def ahead(folder: Path, horizon: int = 32, law: str = "m3") -> dict[str, float]:
    """What is recommended at `horizon` from the runs before it, and the loss it gives up there.

    A horizon is total tokens over the full corpus, of which shorter runs may hold a part only.
    """
    runs = read_runs(folder)
    corpus = np.max(runs.recipe.target_tokens)
    multiple = np.round(runs.recipe.total_tokens / corpus)
    fits = fit(runs.select(multiple < horizon), law, draws=0)
    there = runs.select((multiple == horizon) & (runs.recipe.target_tokens == corpus))
    order = np.argsort(there.recipe.target_ratio)
    ratio, loss = there.recipe.target_ratio[order], there.loss[order]
    found = optimize(
        fits,
        compute=float(np.max(there.recipe.compute)),
        target_tokens=float(corpus),
        draws=0,
    )
    best = found.at(0, 0, 0)
    measured = float(np.interp(np.log(best.target_ratio), np.log(ratio), loss))
    return {
        "fitted_runs": int(np.sum(multiple < horizon)),
        "horizon_runs": len(there),
        "recommended_ratio": best.target_ratio,
        "recommended_epochs": best.epochs,
        "tokens_spent": float(best.total_tokens) / float(np.max(there.recipe.total_tokens)),
        "predicted_loss": float(found.loss[0, 0, 0]),
        "loss_at_recommended": measured,
        "best_measured_loss": float(loss.min()),
        "best_measured_ratio": float(ratio[np.argmin(loss)]),
        "excess": measured / float(loss.min()) - 1,
    }


def study(folder: Path) -> dict[str, Any]:
    runs = read_runs(folder)
    fits = fit(runs, "m3", draws=0)
    rows = cells(runs, fits)
    return {
        "runs": len(runs),
        "objective": float(fits.objective[0]),
        "r2": float(fits.r2[0]),
        "mean_abs_dlog_r": float(np.mean([row["abs_dlog_r"] for row in rows])),
        "cells": rows,
        "ahead": ahead(folder),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    folder = data_folder()
    if folder is None:
        print("public run tables not found; set M3JAX_DATA to their folder", file=sys.stderr)
        return 2
    result = study(folder)
    if arguments.json:
        print(json.dumps(result, indent=1))
        return 0
    print(f"{result['runs']} runs, objective {result['objective']:.6f}, R² {result['r2']:.4f}")
    for row in result["cells"]:
        print(
            f"D_T {row['target_tokens']:.3g}  D {row['total_tokens']:.3g}  best r measured"
            f" {row['measured_ratio']:.3f}  predicted {row['predicted_ratio']:.3f}"
        )
    print(f"mean |Δ log r| {result['mean_abs_dlog_r']:.4f}")
    told = result["ahead"]
    print(
        f"fitted on the {told['fitted_runs']} runs before the longest horizon, recommended there:"
        f" r {told['recommended_ratio']:.3f}, {told['recommended_epochs']:.2f} epochs\n"
        f"measured loss there (interpolated) {told['loss_at_recommended']:.4f}, predicted"
        f" {told['predicted_loss']:.4f}; best measured {told['best_measured_loss']:.4f} at r"
        f" {told['best_measured_ratio']:.2f}: {told['excess']:.2%} worse"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
