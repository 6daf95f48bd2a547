"""Is a designed run sheet worth more than a grid of equal cost?

    python -m benchmarks.studies.designed_runs --json

Made-up languages: coefficients drawn from the public evidence, with a seed that no design has seen.
For each question one sheet is designed and one drawn log-uniformly from the same ranges, at equal
cost; each language's runs are made up with noise, the law fitted to them with the public prior, and
a recipe chosen by expected log loss. Regret is the true loss of that recipe over the lowest true
loss of any, less 1. Without runs, the plan's recipe.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.support.script import new_parser, parse, print_result, say
from m3jax import Fits, Recipe, RunTable, fit, optimize, plan
from m3jax.computing import in_double_precision
from m3jax.design import (
    MOST_EPOCHS,
    RunDesign,
    design_runs,
    random_design,
    ranges_around,
    run_space,
)
from m3jax.fitting import Evidence, fit_without_runs, predict

# (compute, target tokens), with 1e12 source tokens.
QUESTIONS = ((1e20, 1e8), (1e21, 2e9), (1e21, 1e8), (1e22, 1e10))
SOURCE = 1e12
TRUTHS_SEED = 1000
LIMITS: dict[str, Any] = {"max_source_tokens": SOURCE, "epochs": (1.0, MOST_EPOCHS)}


def grid(design: RunDesign, evidence: Evidence, compute: float, tokens: float, seed: int) -> Recipe:
    """As many log-uniform runs as the design has, from its ranges and at its cost."""
    rows = design.records()
    spent, count = sum(row["compute"] for row in rows), len(rows)
    fits = fit_without_runs(evidence, "grid", draws=2)
    point = optimize(fits, compute=compute, target_tokens=tokens, draws=0, **LIMITS).at(0, 0, 0)
    space, _ = run_space(
        "grid",
        evidence.law,
        evidence.scope,
        most_tokens=tokens,
        reach=1.0,
        bounds=ranges_around(point, spent / compute / count),
        ladder=None,
    )
    with in_double_precision():
        rng = np.random.default_rng([seed, 1])
        return space.rounded(*random_design(space, spent, count, rng))


def sheet_recipe(design: RunDesign) -> Recipe:
    names = ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio", "first_ratio")
    rows = design.records()
    return Recipe.create(**{n: np.array([float(row[n]) for row in rows]) for n in names})


def fitted(recipe: Recipe, truths: np.ndarray, evidence: Evidence, draws: int, seed: int) -> Fits:
    """Fits to made-up runs of every truth, with the public prior."""
    frames = []
    for i, theta in enumerate(truths):
        loss = predict(evidence.law, theta[None], recipe)[0]
        noise = np.random.default_rng([seed, 2, i]).standard_normal(len(loss))
        frame = pd.DataFrame({name: np.asarray(leaf) for name, leaf in vars(recipe).items()})
        frame["loss"] = loss * np.exp(evidence.noise * noise)
        frame["language"] = f"truth {i}"
        frame["run_id"] = [f"{i}-{j}" for j in range(len(loss))]
        frames.append(frame)
    runs = RunTable.from_frame(pd.concat(frames))
    return fit(runs, evidence.law, prior="public", draws=draws, seed=seed)


def regrets(
    recipes: Recipe, truths: np.ndarray, lowest: np.ndarray, evidence: Evidence
) -> np.ndarray:
    """True loss of each truth's recipe, leaves (T,), over the lowest, less 1."""
    losses = np.array(
        [
            predict(evidence.law, theta[None], _one(recipes, i))[0, 0]
            for i, theta in enumerate(truths)
        ]
    )
    return losses / lowest - 1


def _one(recipes: Recipe, i: int) -> Recipe:
    return Recipe(*(np.atleast_1d(leaf)[[i]] for leaf in vars(recipes).values()))


def study(truths: int, share: float, runs: int, draws: int, seed: int) -> dict[str, Any]:
    """Regrets by question and in all: of the plan, after the designed sheet, after a grid."""
    evidence = Evidence.public()
    per_question = -(-truths // len(QUESTIONS))
    known = fit_without_runs(evidence, "truths", draws=truths, seed=TRUTHS_SEED + seed)
    ways: dict[str, list[np.ndarray]] = {"no runs": [], "designed": [], "grid": []}
    table = []
    for number, (compute, tokens) in enumerate(QUESTIONS):
        theta = known.draws[0, number * per_question : (number + 1) * per_question]
        if not len(theta):
            continue
        say(f"{compute:g} FLOP, {tokens:g} tokens")
        asked: dict[str, Any] = {"compute": compute, "target_tokens": tokens}
        lowest = np.array(
            [
                float(optimize(_truth(known, t), draws=0, **asked, **LIMITS).loss[0, 0, 0])
                for t in theta
            ]
        )
        design = design_runs(**asked, share=share, runs=runs, draws=draws, seed=seed, **LIMITS)
        planned = plan(**asked, max_source_tokens=SOURCE, draws=draws, seed=seed).recipe
        same = Recipe(*(np.full(len(theta), leaf) for leaf in vars(planned).values()))
        found = {"no runs": regrets(same, theta, lowest, evidence)}
        sheets = {
            "designed": sheet_recipe(design),
            "grid": grid(design, evidence, compute, tokens, seed),
        }
        for way, recipe in sheets.items():
            fits = fitted(recipe, theta, evidence, draws, seed)
            best = optimize(fits, objective="mean_log", draws=draws, **asked, **LIMITS).recipe
            flat = Recipe(*(np.asarray(leaf)[:, 0, 0] for leaf in vars(best).values()))
            order = [fits.languages.index(f"truth {i}") for i in range(len(theta))]
            found[way] = regrets(
                Recipe(*(leaf[order] for leaf in vars(flat).values())), theta, lowest, evidence
            )
        row = {"compute": compute, "target_tokens": tokens}
        table.append(row | {way: float(values.mean()) for way, values in found.items()})
        for way, values in found.items():
            ways[way].append(values)
    every = {way: np.concatenate(values) for way, values in ways.items()}
    rng = np.random.default_rng([seed, 3])
    picked = rng.integers(0, len(every["grid"]), (2000, len(every["grid"])))
    ratios = every["designed"][picked].mean(axis=1) / every["grid"][picked].mean(axis=1)
    return {
        "truths": len(every["grid"]),
        "by_question": table,
        "mean_regret": {way: float(values.mean()) for way, values in every.items()},
        "median_regret": {way: float(np.median(values)) for way, values in every.items()},
        "ratio": float(every["designed"].mean() / every["grid"].mean()),
        "ratio_interval": [float(x) for x in np.quantile(ratios, [0.05, 0.95])],
    }


def _truth(fits: Fits, theta: np.ndarray) -> Fits:
    """The fits of a language whose coefficients are known."""
    return dataclasses.replace(fits, theta=theta[None])


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    print(f"Mean regret of {result['truths']} made-up languages")
    for row in (*result["by_question"], {"compute": 0.0, **result["mean_regret"]}):
        place = (
            f"{row['compute']:.0e} FLOP, {row['target_tokens']:.0e} tokens"
            if row["compute"]
            else "all"
        )
        cells = "  ".join(f"{way} {row[way]:.2%}" for way in ("no runs", "designed", "grid"))
        print(f"  {place:28s} {cells}")
    low, high = result["ratio_interval"]
    print(f"  designed over grid: {result['ratio']:.2f} ({low:.2f} to {high:.2f})")


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--truths", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.005, help="of the compute, for the runs")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--draws", type=int, default=100)
    options, as_json = parse(parser)
    return print_result(study(**options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
