"""How often do 90% intervals hold real runs that a fit has not seen, and how wide are they?

    python -m benchmarks.studies.coverage_real --json
    python -m benchmarks.studies.coverage_real --runs runs.csv --map loss=val_loss --json

In turn the runs at the far end of each variable of each table are left out (the hold-outs of
`m3jax compare`, a fifth of the runs each; languages of a table together), the law is fitted to the
others, and every run left out is held against the interval of what one run would measure. An
interval that is wide enough always holds, so intervals are judged by the interval score as well:
width + 20 · miss in log loss, the proper score of a 90% interval (Gneiting and Raftery 2007), mean
over the runs of a hold-out, geometric mean over hold-outs.

Methods: `calibrated` is `fit`'s default and `bootstrap` its other choice; `widened` and `bent` have
one half of the default's remedy each. `factor` and `distance` repeat the hold-outs inside the runs
that are left and widen the bootstrap's intervals by what they ask for: by one factor, or also by a
standard deviation that grows with the distance to the nearest run. `two_laws` pools the bootstrap's
draws of `m3` and `m3_posynomial`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.support.data import read_muennighoff_runs, read_wikipedia_runs
from benchmarks.support.reading import add_reading, taken_reading
from benchmarks.support.script import new_parser, parse, print_result, public_tables, say
from m3jax import Fits, Recipe, RunTable, fit
from m3jax.comparison import Split, extrapolation_distance, holdout_mask
from m3jax.fitting import loss_interval

AXES = ("compute", "epochs", "n_params", "target_tokens", "target_ratio", "two-stage")
LEVEL, MISS = 0.9, 20.0  # 2 / (1 − level)
FEWEST = 20  # runs left to fit


class Case(NamedTuple):
    """Runs of one language held out: the table's rows that are left, and those that are not."""

    holdout: tuple[str, str]
    left: np.ndarray
    out: np.ndarray


def cases_of(name: str, runs: RunTable, rows: np.ndarray) -> list[Case]:
    """The hold-outs of some rows of a table, language by language."""
    found = []
    for language in dict.fromkeys(runs.language[rows].tolist()):
        own = rows[runs.language[rows] == language]
        table = runs.select(np.isin(np.arange(len(runs)), own))
        for axis in AXES:
            mask = holdout_mask(table, axis)
            if mask.any() and (~mask).sum() >= FEWEST:
                found.append(Case((name, axis), own[~mask], own[mask]))
    return found


def fits_of(runs: RunTable, cases: Sequence[Case], law: str, **options: Any) -> Fits:
    """A fit to what is left in every case; languages are called by the case's number."""
    rows = np.concatenate([case.left for case in cases])
    names = np.repeat([str(i) for i in range(len(cases))], [len(case.left) for case in cases])
    return fit(runs.take(rows, language=names.astype(object)), law, **options)


def _recipe(runs: RunTable, rows: np.ndarray) -> Recipe:
    return jax.tree.map(lambda leaf: leaf[rows], runs.recipe)


class Question(NamedTuple):
    """What a fit says of held-out runs, log losses: the best fit (m,), draws (B, m), and more."""

    best: np.ndarray
    drawn: np.ndarray
    noise: np.ndarray
    measured: np.ndarray
    distance: np.ndarray

    def half_width(self) -> np.ndarray:
        """Of the bootstrap's interval, around the best fit, (m,)."""
        low, high = span(self, calibrated=False)
        return (high - low) / 2


def questions_of(runs: RunTable, cases: Sequence[Case], fits: Fits) -> list[Question]:
    """Of each case."""
    asked = []
    for i, case in enumerate(cases):
        recipe = _recipe(runs, case.out)
        fitted, held = (np.isin(np.arange(len(runs)), rows) for rows in (case.left, case.out))
        asked.append(
            Question(
                np.log(fits.predict(recipe, str(i))),
                np.log(fits.predict_draws(recipe, str(i))),
                fits.noise_at(recipe, str(i)),
                np.log(runs.loss[case.out]),
                extrapolation_distance(runs, Split(fitted, held))[case.out],
            )
        )
    return asked


def span(question: Question, *, calibrated: bool) -> tuple[np.ndarray, np.ndarray]:
    """The interval of what one run measures, in log loss."""
    low, high = loss_interval(
        np.exp(question.best),
        np.exp(question.drawn),
        LEVEL,
        calibrated=calibrated,
        noise=question.noise,
    )
    return np.log(low), np.log(high)


Spans = list[tuple[np.ndarray, np.ndarray]]


def study_table(
    name: str, runs: RunTable, law: str, draws: int, seed: int
) -> dict[tuple[str, str], dict[str, list[np.ndarray]]]:
    """(table, hold-out) -> method -> [held (m,), width (m,), score (m,)]."""
    cases = cases_of(name, runs, np.arange(len(runs)))
    how: dict[str, Any] = {"draws": draws, "seed": seed, "level": LEVEL}
    say(f"{name}: {len(cases)} hold-outs")
    plain = fits_of(runs, cases, law, intervals="bootstrap", **how)
    default = fits_of(runs, cases, law, **how)
    other = "m3" if law == "m3_posynomial" else "m3_posynomial"
    second = fits_of(runs, cases, other, intervals="bootstrap", **how)

    def asked(fits: Fits) -> list[Question]:
        return questions_of(runs, cases, fits)

    by_plain, by_default, by_second = asked(plain), asked(default), asked(second)
    widened = asked(dataclasses.replace(default, bends=np.zeros_like(default.bends)))
    bent = asked(dataclasses.replace(plain, bends=default.bends))
    pooled = [
        a._replace(drawn=np.concatenate([a.drawn, b.drawn]))
        for a, b in zip(by_plain, by_second, strict=True)
    ]

    def spans(questions: Sequence[Question], calibrated: bool) -> Spans:
        return [span(question, calibrated=calibrated) for question in questions]

    inner = _inner(runs, cases, law, how)
    methods: dict[str, Spans] = {
        "calibrated": spans(by_default, True),
        "bootstrap": spans(by_plain, False),
        "widened": spans(widened, True),
        "bent": spans(bent, True),
        "factor": [_by_factor(q, i) for q, i in zip(by_plain, inner, strict=True)],
        "distance": [_by_distance(q, i) for q, i in zip(by_plain, inner, strict=True)],
        "two_laws": spans(pooled, False),
    }
    table: dict[tuple[str, str], dict[str, list[np.ndarray]]] = {}
    for method, ends in methods.items():
        for case, question, (low, high) in zip(cases, by_plain, ends, strict=True):
            miss = np.maximum(low - question.measured, question.measured - high).clip(0.0)
            row = miss == 0, high - low, high - low + MISS * miss
            known = table.setdefault(case.holdout, {}).get(method)
            table[case.holdout][method] = (
                list(row) if known is None else [*map(np.append, known, row)]
            )
    return table


def _inner(
    runs: RunTable, cases: Sequence[Case], law: str, how: dict[str, Any]
) -> list[list[Question]]:
    """What the bootstrap says in the hold-outs inside each case."""
    nested = [(i, case) for i, outer in enumerate(cases) for case in cases_of("", runs, outer.left)]
    inside = [case for _, case in nested]
    fits = fits_of(runs, inside, law, intervals="bootstrap", **how)
    found: list[list[Question]] = [[] for _ in cases]
    for (i, _), question in zip(nested, questions_of(runs, inside, fits), strict=True):
        found[i].append(question)
    return found


def _by_factor(question: Question, inner: Sequence[Question]) -> tuple[np.ndarray, np.ndarray]:
    """The bootstrap's interval times one factor, by which those inside would have held."""
    misses = [np.abs(q.measured - q.best) / q.half_width() for q in inner]
    factor = max(1.0, float(np.quantile(np.concatenate(misses), LEVEL))) if misses else 1.0
    half = factor * question.half_width()
    return question.best - half, question.best + half


def _by_distance(question: Question, inner: Sequence[Question]) -> tuple[np.ndarray, np.ndarray]:
    """With a standard deviation in proportion to the distance, by which those inside hold."""
    slopes = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 200)])
    needed = 0.0
    for slope in slopes if inner else ():
        held = [np.abs(q.measured - q.best) <= _wider(q, slope) for q in inner]
        needed = float(slope)
        if np.concatenate(held).mean() >= LEVEL:
            break
    half = _wider(question, needed)
    return question.best - half, question.best + half


def _wider(question: Question, slope: float) -> np.ndarray:
    return np.hypot(question.half_width(), 1.645 * slope * question.distance)


def summary(
    table: dict[tuple[str, str], dict[str, list[np.ndarray]]], method: str
) -> dict[str, Any]:
    """Of one method over all hold-outs."""
    rows = {holdout: by_method[method] for holdout, by_method in table.items()}
    held = {holdout: float(row[0].mean()) for holdout, row in rows.items()}
    worst = min(held, key=lambda holdout: held[holdout])

    def middle(column: int) -> float:
        return float(np.exp(np.mean([np.log(row[column].mean()) for row in rows.values()])))

    return {
        "method": method,
        "coverage": float(np.concatenate([row[0] for row in rows.values()]).mean()),
        "mean_coverage": float(np.mean(list(held.values()))),
        "worst_coverage": held[worst],
        "worst": " ".join(worst),
        "width": middle(1),
        "interval_score": middle(2),
        "holdouts": [
            {
                "table": holdout[0],
                "holdout": holdout[1],
                "runs": len(row[0]),
                "coverage": held[holdout],
                "width": float(row[1].mean()),
                "interval_score": float(row[2].mean()),
            }
            for holdout, row in rows.items()
        ],
    }


def study(
    tables: Sequence[tuple[str, Callable[[], RunTable]]], law: str, draws: int, seed: int
) -> dict[str, Any]:
    """All methods on all hold-outs of some tables."""
    table: dict[tuple[str, str], dict[str, list[np.ndarray]]] = {}
    for name, read in tables:
        table |= study_table(name, read(), law, draws, seed)
    methods = [summary(table, method) for method in next(iter(table.values()))]
    by_name = {row["method"]: row for row in methods}
    default, plain = by_name["calibrated"], by_name["bootstrap"]
    return {
        "law": law,
        "draws": draws,
        "holdouts": len(table),
        "coverage": default["coverage"],
        "worst_coverage": default["worst_coverage"],
        "interval_score": default["interval_score"],
        "interval_score_bootstrap": plain["interval_score"],
        "methods": methods,
    }


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    print(f"{'':12} {'coverage':>9} {'mean':>6} {'worst':>6} {'width':>7} {'score':>7}")
    for row in result["methods"]:
        print(
            f"{row['method']:12} {row['coverage']:9.3f} {row['mean_coverage']:6.3f}"
            f" {row['worst_coverage']:6.2f} {row['width']:7.4f} {row['interval_score']:7.4f}"
            f"  {row['worst']}"
        )
    print()
    for row in result["methods"][0]["holdouts"]:
        print(
            f"{row['table']:12} {row['holdout']:14} {row['runs']:4} runs: {row['coverage']:.2f},"
            f" width {row['width']:.4f}, score {row['interval_score']:.4f}"
        )


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--runs", type=Path, help="a run table in place of the known ones")
    parser.add_argument("--law", default="m3")
    parser.add_argument("--draws", type=int, default=200)
    add_reading(parser)
    options, as_json = parse(parser)
    reading, path = taken_reading(options), options.pop("runs")
    tables: list[tuple[str, Callable[[], RunTable]]]
    if path is not None:
        tables = [(path.stem, lambda: RunTable.read(path, **reading))]
    else:
        folder = public_tables()
        pilot = resources.files("m3jax") / "data" / "pilot_debian.csv"
        tables = [("pilot", lambda: RunTable.read(str(pilot)))]
        if folder is not None:
            tables += [
                ("muennighoff", lambda: read_muennighoff_runs(folder)),
                ("wikipedia", lambda: read_wikipedia_runs(folder)),
            ]
    return print_result(study(tables, **options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
