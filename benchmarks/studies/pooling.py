"""What does pooling languages gain, where runs are few, and what does it cost where they are many?

    python -m benchmarks.studies.pooling --json

Two studies. Goldfish: languages with four monolingual runs each; the largest corpus of each is left
out and predicted from the other three. Made-up languages: `m3` with known coefficients, most with
3 to 12 runs and some with 30 or 100; error and coverage at recipes twice as large as the runs'.
"none" is every language by itself under the weak prior, which is stated so that it may be fitted
with few runs.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.support.data import data_folder
from benchmarks.support.priors import TERM_SHARES, weak_prior
from benchmarks.support.script import new_parser, parse, print_result
from benchmarks.support.synthetic import draw_recipes, run_table, true_loss, true_theta
from m3jax import Fits, Recipe, RunTable, fit
from m3jax.laws import LogSpaceLaw, get_law

POOLS = ("none", "partial", "full")
GROUPS = {"3-6": (3, 6), "7-12": (7, 12), "30+": (30, 10**6)}
ALIKENESS = {"alike": 0.25, "middling": 0.5, "unlike": 1.0}  # sd between languages, in weak sds
REFERENCE = (4000, 99)  # recipes and seed of the middle that made-up terms are sized at


# Goldfish


def goldfish(folder: Path) -> tuple[RunTable, dict[str, tuple[float, float]]]:
    """The runs but for each language's largest corpus, and (tokens, loss) of those.

    Model size goes with corpus size in these runs, so the law sees corpus size alone.
    """
    frame = pd.read_csv(folder / "goldfish" / "flores_167_languages.csv")
    frame["runs"] = frame.groupby("flores_lang").flores_lang.transform("size")
    frame = frame[frame.runs >= 4].sort_values(["flores_lang", "dataset_tokens"])
    largest = ~frame.flores_lang.duplicated(keep="last").to_numpy()
    table = pd.DataFrame(
        {
            "language": frame.flores_lang,
            "n_params": 1e8,
            "target_tokens": frame.dataset_tokens.astype(float),
            "epochs": 1.0,
            "loss": frame.flores_neg_logppl,
        }
    )
    left_out = table[largest]
    held = zip(left_out.language, left_out.target_tokens, left_out.loss, strict=True)
    return RunTable.from_frame(table[~largest]), {n: (d, y) for n, d, y in held}


def goldfish_predictions(
    fits: Fits, held: dict[str, tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Log of predicted over measured loss at what was left out, and the intervals' log widths."""
    errors, widths = [], []
    for name, (tokens, loss) in held.items():
        recipe = Recipe.create(n_params=1e8, target_tokens=tokens, epochs=1.0)
        errors.append(np.log(fits.predict(recipe, name)) - np.log(loss))
        low, high = fits.loss_interval(recipe, name, of_run=True)
        widths.append(np.log(high) - np.log(low))
    return np.array(errors), np.array(widths)


def goldfish_study(folder: Path, draws: int, intervals: str, seed: int) -> dict[str, Any]:
    """Errors, coverage and interval score at the corpora left out, by how languages were pooled."""
    runs, held = goldfish(folder)
    law = get_law("chinchilla")
    by_pool: dict[str, Any] = {}
    for pool in POOLS:
        prior = weak_prior(law) if pool == "none" else "weak"
        fits = fit(runs, law, pool=pool, prior=prior, draws=draws, intervals=intervals, seed=seed)
        error, width = goldfish_predictions(fits, held)
        missed = np.maximum(np.abs(error) - width / 2, 0.0)
        population = fits.population
        by_pool[pool] = {
            "languages": len(error),
            "median_abs_error": float(np.median(np.abs(error))),
            "p90_abs_error": float(np.quantile(np.abs(error), 0.9)),
            "mean_error": float(np.mean(error)),
            "coverage_90": float(np.mean(missed == 0)),
            "width": float(np.mean(width)),
            "interval_score": float(np.mean(width + 20 * missed)),
            "rounds": None if population is None else population.rounds,
            "settled": None if population is None else population.settled,
        }
    return by_pool


# Made-up languages


def made_up(kind: str, languages: int, seed: int) -> np.ndarray:
    """Coefficients (languages, 14): those of other benchmarks, or spread in a chosen measure."""
    if kind == "synthetic":
        return true_theta(languages, seed)
    law = get_law("m3")
    assert isinstance(law, LogSpaceLaw)
    rng = np.random.default_rng([seed, 7])
    low, high = law.theta_start()
    amplitude = np.array([name in law.terms for name in law.names])
    low[amplitude], high[amplitude] = np.log(TERM_SHARES)
    sd = (high - low) / 2
    middle = (low + high) / 2 + 0.5 * sd * rng.uniform(-1, 1, len(sd))
    middle[amplitude] = np.log([0.55, 0.2, 0.2, 0.08]) + 0.3 * rng.standard_normal(4)
    x = middle + ALIKENESS[kind] * sd * rng.standard_normal((languages, len(sd)))
    x[:, amplitude] += 0.3 * rng.standard_normal((languages, 1)) + 0.7
    below, above = law.theta_bounds()
    below[[law.names.index("alpha"), law.names.index("beta")]] = 0.03
    x[:, ~amplitude] = np.clip(x, below, above)[:, ~amplitude]
    count, reference_seed = REFERENCE
    return x @ law.centre(draw_recipes(count, np.random.default_rng(reference_seed))).T


def run_counts(languages: int, seed: int) -> np.ndarray:
    """Runs of each language: 3 to 12, but 30 or 100 in one of eight."""
    rng = np.random.default_rng([seed, 9])
    counts = rng.integers(3, 13, languages)
    many = max(1, languages // 8)
    counts[:many] = rng.choice([30, 100], many)
    counts[0] = 100
    return counts


def few_runs(theta: np.ndarray, counts: np.ndarray, noise: float, seed: int) -> RunTable:
    """The first `counts` (L,) of each language's runs."""
    table = run_table(theta, int(counts.max()), noise, seed)
    number = np.tile(np.arange(counts.max()), len(counts))
    return table.select(number < np.repeat(counts, counts.max()))


def made_up_study(
    *, kinds: Sequence[str], languages: int, repeats: int, draws: int, intervals: str, seed: int
) -> dict[str, Any]:
    """Errors and coverage by kind of language, pooling and number of runs; seconds by pooling."""
    law = get_law("m3")
    rows: list[dict[str, Any]] = []
    seconds = dict.fromkeys(POOLS, 0.0)
    for kind in kinds:
        for repeat in range(repeats):
            counts = run_counts(languages, seed + repeat)
            theta = made_up(kind, languages, seed + repeat)
            noise = (0.005, 0.01, 0.02)[repeat % 3]
            runs = few_runs(theta, counts, noise, seed + repeat)
            unpooled = None
            for pool in POOLS:
                prior = weak_prior(law) if pool == "none" else "weak"
                begun = time.perf_counter()
                fits = fit(
                    runs, law, pool=pool, prior=prior, draws=draws, seed=repeat, intervals=intervals
                )
                seconds[pool] += time.perf_counter() - begun
                unpooled = fits if unpooled is None else unpooled
                rows += _rows(kind, pool, fits, unpooled, theta, counts, seed + repeat)
    frame = pd.DataFrame(rows)
    table: dict[str, Any] = {}
    for (kind, pool), part in frame.groupby(["kind", "pool"], sort=False):
        for group, (low, high) in GROUPS.items():
            subset = part[part.runs.between(low, high)]
            table.setdefault(kind, {}).setdefault(pool, {})[group] = {
                "languages": len(subset),
                "mean_abs_error": float(subset.error.mean()),
                "median_abs_error": float(subset.error.median()),
                "coverage_90": float(subset.coverage.mean()),
                "moved": float(subset.moved.mean()),
                "moved_in_interval_halves": float(subset.moved_in_halves.mean()),
            }
    return {"table": table, "seconds": seconds}


def _rows(
    kind: str,
    pool: str,
    fits: Fits,
    unpooled: Fits,
    theta: np.ndarray,
    counts: np.ndarray,
    seed: int,
) -> list[dict[str, Any]]:
    """Of each language: errors, coverage and how far pooling moved its predictions."""
    rows = []
    for i, name in enumerate(fits.languages):
        recipe = draw_recipes(60, np.random.default_rng([seed, 10, i]))
        recipe = dataclasses.replace(
            recipe, n_params=2 * recipe.n_params, target_tokens=2 * recipe.target_tokens
        )
        truth = true_loss(theta[i], recipe)
        predicted, alone = fits.predict(recipe, name), unpooled.predict(recipe, name)
        low, high = fits.loss_interval(recipe, name)
        below, above = unpooled.loss_interval(recipe, name)
        moved = np.abs(np.log(predicted / alone))
        rows.append(
            {
                "kind": kind,
                "pool": pool,
                "runs": int(counts[i]),
                "error": np.mean(np.abs(np.log(predicted / truth))),
                "coverage": np.mean((low <= truth) & (truth <= high)),
                "moved": np.mean(moved),
                "moved_in_halves": np.mean(moved / (np.log(above / below) / 2)),
            }
        )
    return rows


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    if result["goldfish"] is None:
        print("Goldfish: public run tables not found; set M3JAX_DATA to their folder")
    else:
        print("Goldfish, |log error| at each language's largest corpus, left out:")
        for pool, row in result["goldfish"].items():
            print(
                f"  {pool:8s} median {row['median_abs_error']:.4f}  90% {row['p90_abs_error']:.4f}"
                f"  held {row['coverage_90']:.2f}, width {row['width']:.3f}"
                f"  {row['languages']} languages"
            )
    for kind, pools in result["made_up"]["table"].items():
        print(f"Made-up languages, {kind}: |log error| (coverage of nominal 90%)")
        for pool, groups in pools.items():
            cells = [
                f"{group} runs {row['mean_abs_error']:.4f} ({row['coverage_90']:.2f})"
                for group, row in groups.items()
            ]
            print(f"  {pool:8s} " + "   ".join(cells))


def main() -> int:
    parser = new_parser(__doc__)
    kinds = ("synthetic", *ALIKENESS)
    parser.add_argument("--kinds", nargs="*", choices=kinds, default=kinds, help="made-up studies")
    parser.add_argument("--languages", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--intervals", choices=("calibrated", "bootstrap"), default="calibrated")
    options, as_json = parse(parser)
    folder = data_folder()
    asked = (options["draws"], options["intervals"], options["seed"])
    result = {
        "goldfish": None if folder is None else goldfish_study(folder, *asked),
        "made_up": made_up_study(**options),
        **options,
    }
    return print_result(result, as_json, show)


if __name__ == "__main__":
    sys.exit(main())
