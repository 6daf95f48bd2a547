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

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.data import read_wikipedia_runs
from benchmarks.support.script import new_parser, parse, print_result, public_tables
from m3jax import Fits, Recipe, RunTable, fit, optimize


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
        in_cell = np.flatnonzero((corpus == key[0]) & (total == key[1]))
        best = in_cell[np.argmin(runs.loss[in_cell])]
        held = [
            float(getattr(runs.recipe, name)[best])
            for name in ("n_params", "target_tokens", "total_tokens")
        ]
        measured, predicted = float(runs.recipe.target_ratio[best]), best_ratio(fits, *held)
        rows.append(
            {
                "target_tokens": held[1],
                "total_tokens": held[2],
                "runs": len(in_cell),
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
    runs = read_wikipedia_runs(folder)
    corpus = np.max(runs.recipe.target_tokens)
    multiple = np.round(runs.recipe.total_tokens / corpus)
    fits = fit(runs.select(multiple < horizon), law, draws=0)
    longest = runs.select((multiple == horizon) & (runs.recipe.target_tokens == corpus))
    order = np.argsort(longest.recipe.target_ratio)
    ratio, loss = longest.recipe.target_ratio[order], longest.loss[order]
    recommendations = optimize(
        fits,
        compute=float(np.max(longest.recipe.compute)),
        target_tokens=float(corpus),
        draws=0,
    )
    best = recommendations.at(0, 0, 0)
    measured = float(np.interp(np.log(best.target_ratio), np.log(ratio), loss))
    return {
        "fitted_runs": int(np.sum(multiple < horizon)),
        "horizon_runs": len(longest),
        "recommended_ratio": best.target_ratio,
        "recommended_epochs": best.epochs,
        "tokens_spent": float(best.total_tokens) / float(np.max(longest.recipe.total_tokens)),
        "predicted_loss": float(recommendations.loss[0, 0, 0]),
        "loss_at_recommended": measured,
        "best_measured_loss": float(loss.min()),
        "best_measured_ratio": float(ratio[np.argmin(loss)]),
        "excess": measured / float(loss.min()) - 1,
    }


def study(folder: Path) -> dict[str, Any]:
    """Everything that `main` prints."""
    runs = read_wikipedia_runs(folder)
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


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    print(f"{result['runs']} runs, objective {result['objective']:.6f}, R² {result['r2']:.4f}")
    for row in result["cells"]:
        print(
            f"D_T {row['target_tokens']:.3g}  D {row['total_tokens']:.3g}  best r measured"
            f" {row['measured_ratio']:.3f}  predicted {row['predicted_ratio']:.3f}"
        )
    print(f"mean |Δ log r| {result['mean_abs_dlog_r']:.4f}")
    row = result["ahead"]
    print(
        f"fitted on the {row['fitted_runs']} runs before the longest horizon, recommended there:"
        f" r {row['recommended_ratio']:.3f}, {row['recommended_epochs']:.2f} epochs\n"
        f"measured loss there (interpolated) {row['loss_at_recommended']:.4f}, predicted"
        f" {row['predicted_loss']:.4f}; best measured {row['best_measured_loss']:.4f} at r"
        f" {row['best_measured_ratio']:.2f}: {row['excess']:.2%} worse"
    )


def main() -> int:
    _, as_json = parse(new_parser(__doc__), seed=False)
    folder = public_tables()
    return 2 if folder is None else print_result(study(folder), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
