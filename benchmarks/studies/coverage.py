"""How often do the intervals hold the truth?

    python -m benchmarks.studies.coverage --json

Made-up languages with known `m3` coefficients get noisy runs, again and again; each time the law is
fitted and its nominal 90% intervals are held against the truth: of the loss at recipes like the
runs', at recipes with ten times the largest model, at the fit's own best recipe, and of the
coefficients; and how wide they are. Three kinds of runs: independent ones, correlated checkpoints,
and 5% outliers. All repeats are languages of one table, so that a study is one call of `fit`.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import jax
import numpy as np
import pandas as pd

from benchmarks.support.script import new_parser, parse, print_result, say
from benchmarks.support.synthetic import draw_recipes, run_table, true_loss, true_theta
from m3jax import Fits, Recipe, RunTable, delta_interval, fit, optimize
from m3jax.fitting import interval

COMPUTE, TARGET_TOKENS = 3e19, 1e8  # in the middle of the runs: 6 · 1e8 · 5e10, and a scarce corpus
SCENARIOS = ("independent", "checkpoints", "outliers")
METHODS = ("calibrated", "cluster", "residual", "delta")
CHECKPOINTS = 3  # of a run, at a third, two thirds and all of its epochs
SHARED = 0.5  # of the noise's variance is the run's own, in all its checkpoints
OUTLIERS, FAR = 0.05, 0.05  # their share, and the sd of how much too high their log loss is


def noisy_runs(scenario: str, theta: np.ndarray, runs: int, noise: float, seed: int) -> RunTable:
    """Runs of languages `theta` (L, 14): as many as `runs`, or that many checkpoints."""
    if scenario == "checkpoints":
        return _checkpoint_runs(theta, runs, noise, seed)
    table = run_table(theta, runs, noise, seed)
    if scenario == "outliers":
        rng = np.random.default_rng([seed, 2])
        far = np.where(rng.random(len(table)) < OUTLIERS, np.abs(rng.normal(0, FAR, len(table))), 0)
        table = dataclasses.replace(table, loss=table.loss * np.exp(far))
    return table


def _checkpoint_runs(theta: np.ndarray, runs: int, noise: float, seed: int) -> RunTable:
    frames = []
    for i, language_theta in enumerate(theta):
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
                    "loss": true_loss(language_theta, recipe) * np.exp(noise * error),
                }
            )
        )
    return RunTable.from_frame(pd.concat(frames))


def _interval(
    method: str, fits: Fits, table: RunTable, name: str, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of the log loss at recipes (m,)."""
    if method == "delta":
        law = fits.law
        return delta_interval(fits, table, lambda t: law.log_loss_theta(t, recipe), name)
    low, high = fits.loss_interval(recipe, name)
    return np.log(low), np.log(high)


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
    table = noisy_runs(scenario, theta, runs, noise, seed + 1)
    fits = fit(
        table,
        draws=0 if method == "delta" else draws,
        bootstrap=method if method == "residual" else "cluster",
        intervals="calibrated" if method == "calibrated" else "bootstrap",
        huber_delta=delta,
        seed=seed,
    )
    rng = np.random.default_rng([seed, 4])
    near = draw_recipes(20, rng)
    far = dataclasses.replace(draw_recipes(20, rng), n_params=np.full(20, 1e10))
    recommendations = optimize(fits, compute=COMPUTE, target_tokens=TARGET_TOKENS, draws=0)
    held: dict[str, list[np.ndarray]] = {}
    width: dict[str, list[np.ndarray]] = {}
    error = []
    exponents = [i for i, c in enumerate(fits.law.coefficients) if not c.log]
    for i, name in enumerate(fits.languages):
        best, truth = recommendations.at(i, 0, 0), theta[i]
        sub = table.for_language(name) if method == "delta" else table
        sub_fits = _fits_of_language(fits, i) if method == "delta" else fits
        ends = {
            key: (*_interval(method, sub_fits, sub, name, recipe), np.log(true_loss(truth, recipe)))
            for key, recipe in (("runs", near), ("ten_times", far), ("best", best))
        }
        if method == "delta":
            low, high = delta_interval(sub_fits, sub, lambda t: t[np.array(exponents)], name)
        else:
            low, high = interval(fits.draws[i][:, exponents], fits.settings["level"])
        ends["exponents"] = low, high, truth[exponents]
        for key, (low, high, true) in ends.items():
            held.setdefault(key, []).append((low <= true) & (true <= high))
            width.setdefault(key, []).append(high - low)
        error.append(float(recommendations.loss[i, 0, 0] / true_loss(truth, best) - 1))
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
        "width": {key: float(np.mean(np.stack(v))) for key, v in width.items()},
        "median_abs_relative_error": float(np.median(np.abs(error))),
        "mean_relative_error": float(np.mean(error)),
        "seconds": time.time() - started,
    }


def _fits_of_language(fits: Fits, i: int) -> Fits:
    """The fits of one language."""
    arrays = (
        "theta", "draws", "bends", "edges", "frozen", "objective", "r2", "n_runs", "converged",
        "agreement", "noise", "noise_powers", "noise_middle", "widening",
    )  # fmt: skip
    return dataclasses.replace(
        fits,
        languages=(fits.languages[i],),
        scopes=(fits.scopes[i],),
        messages=(fits.messages[i],),
        failed={},
        **{name: getattr(fits, name)[i : i + 1] for name in arrays},
    )


def show(results: list[dict[str, Any]]) -> None:
    """The same for people."""
    print(f"{'runs':12} {'intervals':10} " + " ".join(f"{k:>10}" for k in results[0]["coverage"]))
    for row in results:
        values = " ".join(f"{v:10.3f}" for v in row["coverage"].values())
        print(f"{row['scenario']:12} {row['method']:10} {values}")
        values = " ".join(f"{v:10.4f}" for v in row["width"].values())
        print(f"{'':12} {'width':10} {values}")


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--languages", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=25, help="of each language")
    parser.add_argument("--runs", type=int, default=100, help="per language")
    parser.add_argument("--noise", type=float, default=0.005, help="sd of the log loss")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--delta", type=float, default=1e-3, help="Huber delta of the fit")
    options, as_json = parse(parser)
    scenarios = options.pop("scenarios").split(",")
    methods = options.pop("methods").split(",")
    results = []
    for scenario in scenarios:
        for method in methods:
            say(f"{scenario} runs, {method} intervals")
            results.append(study(scenario=scenario, method=method, **options))
    return print_result(results, as_json, show)


if __name__ == "__main__":
    sys.exit(main())
