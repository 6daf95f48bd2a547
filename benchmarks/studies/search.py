"""Does the search find the best fit, whatever its seed?

    python -m benchmarks.studies.search --json

Every table is fitted with many seeds, and searched by brute force: thousands of random candidates,
each followed to its end. A seed has found the best fit of a language where its objective is within
0.1% of the lowest that any seed or brute force found. The objective is misfit plus prior; the prior
is weighed alike in all, as in the best of the seeds.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.support.data import data_folder, read_muennighoff_runs, read_wikipedia_runs
from benchmarks.support.script import Say, new_parser, parse, print_result, say
from m3jax import Fits, RunTable, fit
from m3jax.fitting import fit_data_with_weak_prior
from m3jax.fitting.engine import CompiledDescents
from m3jax.fitting.problem import prepare_problem, resolve

CLOSE = 1e-3  # relative difference from the best objective, within which it was found
_ROUNDS = 14, 14, 32, 64  # iterations of brute force


def tables(folder: Path | None) -> dict[str, RunTable]:
    """The shipped tables and, where `folder` has them, public ones."""
    out = {}
    for name, file in (("pilot", "pilot_debian.csv"), ("tiny", "tiny_two_stage.csv")):
        with as_file(files("m3jax") / "data" / file) as path:
            out[name] = RunTable.read(path)
    if folder is not None:
        out["muennighoff"] = read_muennighoff_runs(folder)
        out["wikipedia"] = read_wikipedia_runs(folder)
    return out


def penalty(fits: Fits) -> np.ndarray:
    """Negative log density of the prior at the coefficients, (L,)."""
    off = fits.theta - fits.prior_mean
    return 0.5 * np.einsum("li,lij,lj->l", off, fits.prior_precision, off)


def brute_force(
    runs: RunTable, best: Fits, weight: np.ndarray, count: int, seed: int
) -> np.ndarray:
    """The lowest objective from `count` random candidates, (L,).

    What is held, and how the prior is weighed, (L,), is as in the `best` fits.
    """
    law = best.law
    prior, _ = resolve(law, "weak")
    problem, _, _ = prepare_problem(law, runs.batch(), {}, prior, "none")
    held = np.where(best.frozen, best.theta, problem.held)
    problem = dataclasses.replace(problem, free=~best.frozen, held=held)
    space = problem.space(law)
    candidates = space.draw(count, np.random.default_rng([seed, 1]))
    candidates = np.where(problem.free[:, None], candidates, space.to_x(held)[:, None])
    data = fit_data_with_weak_prior(problem, space, "weak", weight, best.huber_delta)
    descents = CompiledDescents(law, "float64", 1e-9)
    with jax.enable_x64(True):
        starts = descents.rank(candidates, data, count)
        x, value, _, _ = descents.descend(starts, data, _ROUNDS, 1e-5)
        ends = descents.finish(x[np.arange(len(x)), np.argmin(value, axis=1)], data)
    off = np.where(problem.free, ends.x - data.prior_mean, 0.0)
    quadratic = 0.5 * np.einsum("li,lij,lj->l", off, data.prior_precision, off)
    return ends.misfit + weight * quadratic


def search(runs: RunTable, seeds: int, candidates: int, seed: int, engine: str) -> dict[str, Any]:
    """Of each language, how many seeds found the best fit and what they say of it."""
    begin = time.perf_counter()
    same = {"draws": 0, "engine": engine}
    fits = [fit(runs, "m3", seed=seed + i, **same) for i in range(seeds)]
    seconds = (time.perf_counter() - begin) / seeds
    misfit = np.array([f.objective for f in fits])
    prior = np.array([penalty(f) for f in fits])
    own = misfit + np.array([f.prior_weight for f in fits]) * prior
    row = own.argmin(axis=0)
    each = np.arange(len(row))
    weight = np.array([f.prior_weight for f in fits])[row, each]
    best = dataclasses.replace(
        fits[0],
        theta=np.array([fits[s].theta[i] for i, s in enumerate(row)]),
        frozen=np.array([fits[s].frozen[i] for i, s in enumerate(row)]),
    )
    brute = brute_force(runs, best, weight, candidates, seed)
    objective = misfit + weight * prior
    lowest = np.minimum(objective.min(axis=0), brute)
    agreement = np.array([f.agreement for f in fits])
    return {
        "seconds_per_fit": seconds,
        "languages": {
            name: {
                "found": float(np.mean(objective[:, i] <= (1 + CLOSE) * lowest[i])),
                "worst": float(objective[:, i].max() / lowest[i]),
                "huber_delta": float(fits[0].huber_delta[i]),
                "best_objective": float(lowest[i]),
                "brute_force_over_best": float(brute[i] / lowest[i]),
                "mean_agreement": float(agreement[:, i].mean()),
                "largest_agreement": float(agreement[:, i].max()),
            }
            for i, name in enumerate(fits[0].languages)
        },
    }


def study(
    by_name: Mapping[str, RunTable],
    *,
    seeds: int,
    candidates: int,
    seed: int,
    engine: str,
    say: Say,
) -> dict[str, Any]:
    """Everything that `main` prints."""
    rows = {}
    for table, runs in by_name.items():
        rows[table] = search(runs, seeds, candidates, seed, engine)
        for name, row in rows[table]["languages"].items():
            say(f"{table} {name}: found {row['found']:.1%}, worst {row['worst']:.4f} of the best")
    found = [row["found"] for table in rows.values() for row in table["languages"].values()]
    return {
        "seeds": seeds,
        "candidates": candidates,
        "engine": engine,
        "found": float(np.mean(found)),
        "tables": rows,
    }


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    for table, rows in result["tables"].items():
        print(f"{table}: {rows['seconds_per_fit']:.2f} s a fit")
        for name, row in rows["languages"].items():
            print(
                f"  {name:12s} found {row['found']:.1%}  worst {row['worst']:.4f} of the best"
                f"  agreement {row['mean_agreement']:.2f}"
            )
    print(f"found in all: {result['found']:.2%} of {result['seeds']} seeds")


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--engine", choices=("batch", "host"), default="batch")
    options, as_json = parse(parser)
    return print_result(study(tables(data_folder()), **options, say=say), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
