"""Is a recipe any good that rests on other people's runs alone?

    python -m benchmarks.studies.zero_runs --json

Each table is left out in turn, the public evidence made anew from the others, and in every cell of
the table left out (runs of one language, corpus and compute) the alternative that has the lowest
expected log loss is taken. What it measured is held against the best that was measured, and against
what rules of thumb would have taken: four epochs, and every target token once. The same after a few
of the table's runs, with the evidence as prior. Cells of closed loops, whose tables nobody was
fitted on, come on top. Repeated runs of one recipe are averaged.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.support.evidence import evidence_of, read_evidence
from benchmarks.support.script import new_parser, parse, print_result, public_tables, whole_numbers
from m3jax import Fits, Prior, Recipe, RunTable, fit
from m3jax.design import within_reason
from m3jax.fitting import Evidence, fit_without_runs

RESULTS = Path(__file__).resolve().parent.parent / "results"
LOOPS = ("closed_loop_2_cpu_runs.csv", "closed_loop_2_romance_cpu_runs.csv")
# What is left out together, and how far the compute of one cell's runs may lie apart, log.
LEFT_OUT = {
    "Muennighoff": 0.3,
    "Wikipedia": 0.1,
    "domains": 0.1,
    "tiny": 0.1,
    "pilot": 0.1,
}
VARIABLES = (
    "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio", "first_ratio"
)  # fmt: skip
ONE_BUDGET = 100.0  # of a loop: recipes that leave some of it unspent are alternatives too
LEAST_AT_STAKE = 1e-3  # log loss between the best and the worst of a cell
RULES = {"four epochs": 4.0, "natural mix": 1.0}


def cells(runs: pd.DataFrame, apart: float) -> list[pd.DataFrame]:
    """Alternatives of one language, corpus and compute each, losses averaged over seeds."""
    mean = runs.groupby(["language", *VARIABLES], as_index=False).loss.mean()
    compute = 6 * mean.n_params * mean.epochs * mean.target_tokens / mean.target_ratio
    mean["place"] = np.round(np.log(compute) / apart).astype(int)
    mean["corpus"] = mean.target_tokens.map("{:.3g}".format)
    # In a table where no text is repeated the corpus is what was read: any size, one epoch.
    most = mean.groupby("language").epochs.transform("max")
    mean.loc[most <= 1, "corpus"] = "one epoch"
    found = []
    for _, cell in mean.groupby(["language", "corpus", "place"]):
        if len(cell) > 1 and np.ptp(np.log(cell.loss)) > LEAST_AT_STAKE:
            found.append(cell.reset_index(drop=True))
    return found


def recipe_of(cell: pd.DataFrame) -> Recipe:
    return Recipe.create(**{name: cell[name].to_numpy(float) for name in VARIABLES})


def by_rule(cell: pd.DataFrame, epochs: float) -> np.ndarray:
    """Which alternatives a rule of so many epochs takes: one stage, the nearest there are."""
    off = np.abs(np.log(cell.epochs / epochs)) + np.where(
        cell.final_ratio > cell.target_ratio * 1.001, np.inf, 0.0
    )
    return np.flatnonzero(off <= off.min() + 1e-9) if np.isfinite(off.min()) else np.arange(0)


def judge(
    cell: pd.DataFrame, fits: Fits, width: float, language: str | None = None
) -> dict[str, float]:
    """What the choice by expected log loss gives up in one cell, in log loss, beside the rules'.

    `held` is the share of the other alternatives whose measured difference of log loss to the
    choice lies in its 90% interval.
    """
    measured = np.log(cell.loss.to_numpy())
    recipe = recipe_of(cell)
    drawn = fits.predict_draws(recipe, language)  # (B, m)
    # As the plan would: no unreasonable size or number of epochs, where there is a choice.
    fine = within_reason(recipe)
    shunned = np.where(~fine & fine.any(), np.inf, 0.0)
    chosen, best = int(np.argmin(np.log(drawn).mean(axis=0) + shunned)), measured.min()
    less = np.log(drawn) - np.log(drawn[:, [chosen]])
    low, middle, high = np.quantile(less, [0.05, 0.5, 0.95], axis=0)
    noise = 1.645 * np.sqrt(2) * float(fits.noise[fits.index(language)])
    half_low = np.hypot(width * (middle - low), noise)
    half_high = np.hypot(width * (high - middle), noise)
    off = measured - measured[chosen] - middle
    inside = (-half_low <= off) & (off <= half_high)
    at_best = int(np.argmin(measured))
    others = np.arange(len(measured)) != chosen
    row = {
        "alternatives": float(len(cell)),
        "plan": measured[chosen] - best,
        "random": measured.mean() - best,
        "held": float(inside[others].mean()),
        "held_best": float(inside[at_best]) if at_best != chosen else np.nan,
        "width": float(np.mean((half_low + half_high)[others])),
    }
    for name, epochs in RULES.items():
        taken = by_rule(cell, epochs)
        row[name] = float(measured[taken].mean() - best) if len(taken) else np.nan
    return row


def summary(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    frame = pd.DataFrame(list(rows))
    held_best = frame.held_best.dropna()
    return {
        "cells": len(frame),
        **{name: float(frame[name].mean()) for name in ("plan", "random", *RULES)},
        "held": float(np.average(frame.held, weights=frame.alternatives - 1)),
        "held_best": float(held_best.mean()) if len(held_best) else 1.0,
        "width": float(frame.width.mean()),
    }


def without_runs(
    tests: dict[str, list[pd.DataFrame]], evidence: Evidence, draws: int, seed: int
) -> dict[str, dict[str, float]]:
    """Every test's cells by the evidence alone."""
    fits = fit_without_runs(evidence, "all", draws=draws, seed=seed)
    return {
        name: summary([judge(cell, fits, evidence.width) for cell in found])
        for name, found in tests.items()
    }


def after_runs(
    runs: pd.DataFrame,
    found: list[pd.DataFrame],
    evidence: Evidence,
    count: int,
    draws: int,
    repeats: int,
    seed: int,
) -> dict[str, float]:
    """The cells of a table after `count` of each language's runs, drawn anew `repeats` times."""
    prior, rows = Prior.of_evidence(evidence), []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, count, repeat])
        parts = [
            part[part.run_id.isin(rng.choice(part.run_id.unique(), count, replace=False))]
            for _, part in runs.groupby("language")
        ]
        table = RunTable.from_frame(pd.concat(parts))
        fits = fit(table, evidence.law, prior=prior, draws=draws, seed=seed + repeat)
        for cell in found:
            rows.append(judge(cell, fits, evidence.width, cell.language[0]))
    return summary(rows)


def study(
    folder: Path,
    left_out: Sequence[str],
    counts: Sequence[int],
    draws: int,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    """Test -> runs -> summary; "0" runs is the evidence alone."""
    tables, result = read_evidence(folder), {}
    for name in left_out:
        evidence = evidence_of({n: t for n, t in tables.items() if n != name}, "")
        own = cells(tables[name].runs, LEFT_OUT[name])
        tests = {name: own} if own else {}
        if name == "pilot":  # the closed loops have its trainer and languages
            tests |= {loop.split("_runs")[0]: _loop_cells(RESULTS / loop) for loop in LOOPS}
        for test, row in without_runs(tests, evidence, draws, seed).items():
            result[test] = {"0": row}
        if own:
            for count in counts:
                result[name][str(count)] = after_runs(
                    tables[name].runs, own, evidence, count, draws, repeats, seed
                )
    return result


def _loop_cells(path: Path) -> list[pd.DataFrame]:
    runs = pd.read_csv(path)
    return cells(runs, ONE_BUDGET)


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    print("Mean log loss above the best measured alternative; 90% intervals of differences")
    for test, by_runs in result.items():
        for count, row in by_runs.items():
            rules = "  ".join(f"{name} {row[name]:.4f}" for name in (*RULES, "random"))
            print(
                f"{test:24s} {count:>2s} runs  {row['cells']:4d} cells  plan {row['plan']:.4f}"
                f"  {rules}  held {row['held']:.2f}, of the best {row['held_best']:.2f}"
                f"  width {row['width']:.3f}"
            )


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--left-out", nargs="*", choices=list(LEFT_OUT), default=list(LEFT_OUT))
    parser.add_argument("--counts", type=whole_numbers, default=[4, 8], help="runs of the table")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=4, help="random choices of runs")
    options, as_json = parse(parser)
    folder = public_tables()
    if folder is None:
        return 2
    return print_result(study(folder, **options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
