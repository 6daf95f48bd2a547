"""Do runs chosen by `next_runs` tell more than random ones that cost as much?

    python -m benchmarks.studies.next_runs --languages 24 --json

Made-up languages with known `m3` coefficients get some noisy runs and a fit. Then each gets more
runs of one budget: those that `next_runs` proposes, by either criterion, or random ones in the same
ranges; the fit is made again with all of them. Held against the truth: the regret of the recipe
that is recommended (its true loss less that of the truly best recipe, under the same limits), the
error of the loss over random recipes, and that of the coefficients, in standard deviations of the
first fit's draws. Ratios are to random runs, with 90% intervals from resampled languages.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import jax
import numpy as np
import pandas as pd

from benchmarks.support.script import new_parser, parse, print_result
from benchmarks.support.synthetic import draw_recipes, run_table, true_loss, true_theta
from m3jax import Fits, Recipe, RunTable, fit, next_runs, optimize
from m3jax.design import random_runs

COMPUTE, TARGET_TOKENS = 1e21, 1e8  # of the recipe to decide on
BOUNDS: dict[str, Any] = {
    "epochs": (1.0, 40.0),
    "target_ratio": (0.05, 1.0),
    "final_ratio": (0.05, 1.0),
    "stage_fraction": (0.1, 0.6),
    "first_share": 0.0,
}
CRITERIA = ("regret", "coefficients")
MEASURES = ("regret", "loss_error", "coefficient_error")
PROBES = 400  # random recipes that the loss is predicted for


def with_runs(
    table: RunTable, theta: np.ndarray, recipes: dict[str, Recipe], noise: float, seed: int
) -> RunTable:
    """The table with further runs of each language, their losses noisy."""
    frame = table.to_frame()
    parts = [frame]
    for i, (name, recipe) in enumerate(recipes.items()):
        # Any two designs get the same noise, so that they differ by the design alone.
        scatter = np.random.default_rng([seed, 5, i]).standard_normal(len(recipe.n_params))
        loss = true_loss(theta[i], recipe) * np.exp(noise * scatter)
        rows = {"language": name, **vars(recipe), "loss": loss, "weight": 1.0}
        rows["run_id"] = [f"next-{j}" for j in range(len(loss))]
        rows["seed"] = np.arange(len(loss)) + 1e6
        parts.append(frame.iloc[:0].reindex(range(len(loss))).assign(**rows))
    return RunTable.from_frame(pd.concat([p.astype(frame.dtypes) for p in parts]))


def fit_errors(
    fits: Fits, theta: np.ndarray, spread: np.ndarray, probes: Recipe
) -> dict[str, np.ndarray]:
    """What each language's fit gets wrong, (L,) each."""
    question = {"compute": COMPUTE, "target_tokens": TARGET_TOKENS, "draws": 0, **BOUNDS}
    recommendations = optimize(fits, **question)
    best = optimize(dataclasses.replace(fits, theta=theta), **question).loss[:, 0, 0]
    recipe = jax.tree.map(lambda leaf: leaf[:, 0], recommendations.recipe)
    reached = true_loss(theta[:, None], recipe)[:, 0]
    probed = jax.tree.map(lambda leaf: leaf[None], probes)
    log_error = np.log(true_loss(fits.theta[:, None], probed) / true_loss(theta[:, None], probed))
    # A coefficient that the runs leave open is as wrong as the draws are wide: the cap.
    error = np.minimum(np.abs(fits.theta - theta) / np.maximum(spread, 1e-9), 3.0)
    return {
        "regret": reached - best,
        "loss_error": np.abs(log_error).mean(axis=1),
        "coefficient_error": error.mean(axis=1),
    }


def study(
    languages: int,
    runs: int,
    more: int,
    budget: float,
    noise: float,
    randoms: int,
    seed: int,
    starts: int = 2,
    draws: int = 200,
) -> dict[str, Any]:
    """All arms of the study, as a dict ready for JSON."""
    theta = true_theta(languages, seed)
    table = run_table(theta, runs, noise, seed + 1)
    settings: dict[str, Any] = {"law": "m3", "huber_delta": noise}
    first = fit(table, draws=draws, **settings)
    assert not first.failed
    spread = first.draws.std(axis=1)
    probes = draw_recipes(PROBES, np.random.default_rng([seed, 6]))
    began = time.perf_counter()
    designs: dict[str, dict[str, Recipe]] = {}
    promised: dict[str, list[tuple[float, float]]] = {}
    for criterion in CRITERIA:
        proposals = [
            next_runs(
                first, budget=budget, runs=more, language=name, criterion=criterion,
                compute=COMPUTE, target_tokens=TARGET_TOKENS, seed=seed, starts=starts, **BOUNDS,
            )
            for name in first.languages
        ]  # fmt: skip
        designs[criterion] = {design.language: design.recipe for design in proposals}
        promised[criterion] = [(d.regret_now, d.regret_after) for d in proposals]
    seconds = (time.perf_counter() - began) / (len(CRITERIA) * languages)
    for i in range(randoms):
        designs[f"random{i}"] = {
            name: random_runs(
                first, budget=budget, runs=more, language=name,
                target_tokens=TARGET_TOKENS, seed=seed + i,
            )
            for name in first.languages
        }  # fmt: skip
    arms = {"none": fit_errors(first, theta, spread, probes)}
    for arm, recipes in designs.items():
        refitted = fit(with_runs(table, theta, recipes, noise, seed), draws=0, **settings)
        arms[arm] = fit_errors(refitted, theta, spread, probes)
    random_arms = [arms.pop(f"random{i}") for i in range(randoms)]
    arms["random"] = {m: np.mean([arm[m] for arm in random_arms], axis=0) for m in MEASURES}
    rng = np.random.default_rng([seed, 7])
    resampled = rng.integers(languages, size=(2000, languages))
    result: dict[str, Any] = {
        "languages": languages, "runs": runs, "more": more, "budget": budget, "noise": noise,
        "seconds_per_design": seconds, "means": {}, "ratio_to_random": {}, "promised": {},
    }  # fmt: skip
    for arm, values in arms.items():
        result["means"][arm] = {m: float(values[m].mean()) for m in MEASURES}
        if arm in CRITERIA:
            result["ratio_to_random"][arm] = {}
            for m in MEASURES:
                by_random = arms["random"][m]
                ratios = values[m][resampled].mean(axis=1) / by_random[resampled].mean(axis=1)
                low, high = np.quantile(ratios, [0.05, 0.95])
                result["ratio_to_random"][arm][m] = {
                    "value": float(values[m].mean() / by_random.mean()),
                    "low": float(low),
                    "high": float(high),
                }
            now, after = np.mean(promised[arm], axis=0)
            result["promised"][arm] = {"regret_now": float(now), "regret_after": float(after)}
    return result


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    for arm, values in result["means"].items():
        print(f"{arm:13}", *(f"{m} {v:.5f}" for m, v in values.items()), sep="  ")
    for arm, ratios in result["ratio_to_random"].items():
        for m, r in ratios.items():
            print(f"{arm}: {m} {r['value']:.2f} of random's ({r['low']:.2f}–{r['high']:.2f})")
        p = result["promised"][arm]
        print(f"{arm}: promised regret {p['regret_now']:.5f} → {p['regret_after']:.5f}")
    print(f"{result['seconds_per_design']:.1f} s for each design")


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--languages", type=int, default=24)
    parser.add_argument("--runs", type=int, default=30, help="each language has")
    parser.add_argument("--more", type=int, default=8, help="runs to be chosen")
    parser.add_argument("--budget", type=float, default=3e19, help="FLOP for them")
    parser.add_argument("--noise", type=float, default=0.01, help="sd of the log loss")
    parser.add_argument("--randoms", type=int, default=3, help="random designs to average over")
    options, as_json = parse(parser)
    return print_result(study(**options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
