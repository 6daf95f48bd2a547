"""How often do the intervals hold the truth?

    python -m benchmarks.studies.coverage --json

Made-up languages with known `m3` coefficients get noisy runs, again and again; each time the law is
fitted and its nominal 90% intervals are held against the truth: of the loss at recipes like the
runs', at recipes with ten times the largest model, at the fit's own best recipe, and of the
coefficients. Three kinds of runs: independent ones, correlated checkpoints, and 5% outliers. All
repeats are languages of one table, so that a study is one call of `fit`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from typing import Any

import jax
import numpy as np
import pandas as pd

from benchmarks.support.synthetic import draw_recipes, run_table, true_loss, true_theta
from m3jax import Fits, Recipe, RunTable, delta_interval, fit, optimize
from m3jax.fitting import interval

COMPUTE, TARGET_TOKENS = 3e19, 1e8  # in the middle of the runs: 6 · 1e8 · 5e10, and a scarce corpus
SCENARIOS = ("independent", "checkpoints", "outliers")
METHODS = ("cluster", "residual", "delta")
CHECKPOINTS = 3  # of a run, at a third, two thirds and all of its epochs
SHARED = 0.5  # of the noise's variance is the run's own, in all its checkpoints
OUTLIERS, FAR = 0.05, 0.05  # their share, and the sd of how much too high their log loss is


def table_of(scenario: str, theta: np.ndarray, runs: int, noise: float, seed: int) -> RunTable:
    """Runs of languages `theta` (L, 14): as many as `runs`, or that many checkpoints."""
    if scenario == "checkpoints":
        return _checkpoints(theta, runs, noise, seed)
    table = run_table(theta, runs, noise, seed)
    if scenario == "outliers":
        rng = np.random.default_rng([seed, 2])
        far = np.where(rng.random(len(table)) < OUTLIERS, np.abs(rng.normal(0, FAR, len(table))), 0)
        table = dataclasses.replace(table, loss=table.loss * np.exp(far))
    return table


def _checkpoints(theta: np.ndarray, runs: int, noise: float, seed: int) -> RunTable:
    frames = []
    for i, one in enumerate(theta):
        rng = np.random.default_rng([seed, 3, i])
        final = draw_recipes(runs // CHECKPOINTS, rng)
        rows = np.repeat(np.arange(runs // CHECKPOINTS), CHECKPOINTS)
        part = np.tile(np.arange(1, CHECKPOINTS + 1) / CHECKPOINTS, runs // CHECKPOINTS)
        recipe = jax.tree.map(lambda leaf, rows=rows: leaf[rows], final)
        recipe = dataclasses.replace(recipe, epochs=recipe.epochs * part)
        shared = rng.standard_normal(runs // CHECKPOINTS)[rows]
        error = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * rng.standard_normal(len(rows))
        frames.append(
            pd.DataFrame(
                {
                    "language": f"language{i:04d}",
                    "run_id": rows,
                    **vars(recipe),
                    "loss": true_loss(one, recipe) * np.exp(noise * error),
                }
            )
        )
    return RunTable.from_frame(pd.concat(frames))


def _held(
    method: str, fits: Fits, table: RunTable, name: str, theta: np.ndarray, recipe: Recipe
) -> np.ndarray:
    """Whether the intervals of the loss at recipes (m,) hold the noiseless loss."""
    truth = np.log(true_loss(theta, recipe))
    if method == "delta":
        law = fits.law
        low, high = delta_interval(fits, table, lambda t: law.log_loss_theta(t, recipe), name)
    else:
        draws = np.log(fits.predict_draws(recipe, name))
        low, high = interval(draws, fits.settings["level"])
    return (low <= truth) & (truth <= high)


def study(
    *,
    scenario: str,
    method: str,
    languages: int,
    repeats: int,
    runs: int,
    noise: float,
    draws: int,
    delta: float,
    seed: int,
) -> dict[str, Any]:
    """Coverage of one method on one kind of runs, over languages × repeats fits."""
    started = time.time()
    theta = np.tile(true_theta(languages, seed), (repeats, 1))
    table = table_of(scenario, theta, runs, noise, seed + 1)
    fits = fit(
        table,
        draws=0 if method == "delta" else draws,
        bootstrap="cluster" if method == "delta" else method,
        huber_delta=delta,
        seed=seed,
    )
    rng = np.random.default_rng([seed, 4])
    near = draw_recipes(20, rng)
    far = dataclasses.replace(draw_recipes(20, rng), n_params=np.full(20, 1e10))
    found = optimize(fits, compute=COMPUTE, target_tokens=TARGET_TOKENS, draws=0)
    held: dict[str, list[np.ndarray]] = {"runs": [], "ten_times": [], "best": [], "exponents": []}
    error = []
    exponents = [i for i, c in enumerate(fits.law.coefficients) if not c.log]
    for i, name in enumerate(fits.languages):
        best = found.at(i, 0, 0)
        one = theta[i]
        sub = table.for_language(name) if method == "delta" else table
        mine = _only(fits, i) if method == "delta" else fits
        held["runs"].append(_held(method, mine, sub, name, one, near))
        held["ten_times"].append(_held(method, mine, sub, name, one, far))
        held["best"].append(_held(method, mine, sub, name, one, best))
        if method == "delta":
            low, high = delta_interval(mine, sub, lambda t: t[np.array(exponents)], name)
        else:
            low, high = interval(fits.draws[i][:, exponents], fits.settings["level"])
        held["exponents"].append((low <= one[exponents]) & (one[exponents] <= high))
        error.append(float(found.loss[i, 0, 0] / true_loss(one, best) - 1))
    return {
        "scenario": scenario,
        "method": method,
        "fits": len(fits.languages),
        "not_fitted": len(fits.failed),
        "runs": runs,
        "noise": noise,
        "draws": draws,
        "huber_delta": delta,
        "level": fits.settings["level"],
        "coverage": {key: float(np.mean(np.stack(v))) for key, v in held.items()},
        "median_abs_relative_error": float(np.median(np.abs(error))),
        "mean_relative_error": float(np.mean(error)),
        "seconds": time.time() - started,
    }


def _only(fits: Fits, i: int) -> Fits:
    """The fits of one language."""
    arrays = ("theta", "draws", "frozen", "objective", "r2", "n_runs", "converged", "agreement")
    return dataclasses.replace(
        fits,
        languages=(fits.languages[i],),
        scopes=(fits.scopes[i],),
        messages=(fits.messages[i],),
        failed={},
        **{name: getattr(fits, name)[i : i + 1] for name in arrays},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--languages", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=25, help="of each language")
    parser.add_argument("--runs", type=int, default=100, help="per language")
    parser.add_argument("--noise", type=float, default=0.005, help="sd of the log loss")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--delta", type=float, default=1e-3, help="Huber delta of the fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    scenarios = arguments.pop("scenarios").split(",")
    methods = arguments.pop("methods").split(",")
    results = []
    for scenario in scenarios:
        for method in methods:
            print(f"{scenario} runs, {method} intervals", file=sys.stderr)
            results.append(study(scenario=scenario, method=method, **arguments))
    if as_json:
        print(json.dumps(results, indent=1))
        return 0
    print(f"{'runs':12} {'intervals':10} " + " ".join(f"{k:>10}" for k in results[0]["coverage"]))
    for one in results:
        values = " ".join(f"{v:10.3f}" for v in one["coverage"].values())
        print(f"{one['scenario']:12} {one['method']:10} {values}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
