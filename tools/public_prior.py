"""The prior that public run tables give: make it, or see what it is worth.

    python -m tools.public_prior --write     # m3jax/data/public_prior.json
    python -m tools.public_prior --json      # leave one table out

Every table is a language of one population, its terms sized in the middle of its own runs. The
range of a coefficient is where the next table is expected: the spread between tables and how unsure
the mean is, together, but no narrower than `NARROWEST` of the weak prior's, for they are few.
Left out in turn, each table is predicted from a few of its runs under the prior of the others.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from benchmarks.support.data import read_wikipedia_runs
from benchmarks.support.priors import TERM_SHARES, weak_prior
from benchmarks.support.script import new_parser, parse, print_result, public_tables
from m3jax import RunTable, fit
from m3jax.files import write_json
from m3jax.fitting import Prior
from m3jax.fitting.engine import CompiledDescents
from m3jax.fitting.pooling import estimate_priors
from m3jax.fitting.problem import prepare_problem
from m3jax.laws import Law, LogSpaceLaw, get_law

LAWS = ("m3", "m3_posynomial", "data_constrained", "chinchilla")
NARROWEST = 0.75
FEW_EPOCHS = 4  # up to here repeated text is nearly as good as new (arXiv:2305.16264)
TARGET = Path(__file__).resolve().parent.parent / "m3jax" / "data" / "public_prior.json"
SOURCES = {
    "Muennighoff": "C4, 182 runs of arXiv:2305.16264",
    "Chinchilla": "240 runs of arXiv:2203.15556 as read by arXiv:2404.10102",
    "Wikipedia": "54 runs of arXiv:2606.07597",
    "tiny": "172 two-stage runs of m3jax in Japanese and Indonesian, tokens are bytes",
}


def read_tables(folder: Path, law: Law) -> dict[str, RunTable]:
    """The tables that say something on a law: name -> runs."""
    muennighoff = RunTable.read(
        folder / "muennighoff" / "fit_182.csv",
        columns={"n_params": "params", "target_tokens": "unique_tokens", "loss": "val_loss"},
    )
    tables = {
        "Muennighoff": muennighoff,
        "Chinchilla": RunTable.read(folder / "chinchilla" / "runs_245.csv").drop_highest(5),
    }
    if "epochs" not in law.variables:
        tables["Muennighoff"] = muennighoff.select(muennighoff.recipe.epochs <= FEW_EPOCHS)
    elif "target_ratio" in law.variables:
        tables["Wikipedia"] = read_wikipedia_runs(folder)
        tables["tiny"] = RunTable.read(folder / "tiny_two_stage" / "runs.csv")
    return tables


def join_tables(parts: dict[str, RunTable]) -> RunTable:
    """One table, its languages those of the parts."""
    frames = []
    for name, table in parts.items():
        frame = table.to_frame().drop(columns="seed", errors="ignore")
        frame["language"] = name + " " + frame.language
        frame["run_id"] = name + " " + frame.run_id
        frames.append(frame)
    return RunTable.from_frame(pd.concat(frames))


def population_prior(law: Law, parts: dict[str, RunTable], source: str = "") -> Prior:
    """Where a further table is expected, given these."""
    runs = join_tables(parts)
    problem, failed, pool = prepare_problem(law, runs.batch(), {}, Prior(), "partial")
    assert not failed, failed
    problem.common = None  # each in the middle of its own runs: tables lie orders apart
    with jax.enable_x64(True):
        descents = CompiledDescents(law, "float64", 1e-9)
        priors = estimate_priors(descents, problem, Prior(), pool, 1e-3, 0, lambda *_: None)
    population = priors.population
    assert population is not None
    low, high = law.theta_start()
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    ranges = {}
    for j, c in enumerate(law.coefficients):
        if not population.fitted[j]:
            continue
        amplitude = c.name in terms
        if amplitude:
            low[j], high[j] = np.log(TERM_SHARES)
        sd = np.hypot(population.sd[j], population.mean_sd[j])
        sd = max(sd, NARROWEST * (high[j] - low[j]) / 2)
        span = np.array([population.mean[j] - sd, population.mean[j] + sd])
        if c.log or amplitude:
            span = np.exp(span)
        if not amplitude:
            span = np.clip(span, *c.bounds)
        ranges[c.name] = (float(f"{span[0]:.4g}"), float(f"{span[1]:.4g}"))
    return Prior(ranges, source)


def draw_runs(runs: RunTable, count: int, rng: np.random.Generator) -> np.ndarray:
    """Which of the runs of one language, (n,), are among the `count` that are drawn."""
    chosen = rng.choice(np.unique(runs.run_id), count, replace=False)
    return np.isin(runs.run_id, chosen)


def mean_errors(law: Law, runs: RunTable, drawn: list[np.ndarray], prior: Prior) -> np.ndarray:
    """Mean |log error| at the other runs after a fit to each draw of runs, (draws,)."""
    frames = [runs.select(mask).to_frame().assign(language=f"{i}") for i, mask in enumerate(drawn)]
    fits = fit(RunTable.from_frame(pd.concat(frames)), law, prior=prior, draws=0)
    means = []
    for i, mask in enumerate(drawn):
        rest = runs.select(~mask)
        error = np.log(fits.predict(rest.recipe, f"{i}") / rest.loss)
        means.append(np.mean(np.abs(error)))
    return np.array(means)


def leave_one_out(
    folder: Path, laws: Collection[str], counts: Collection[int], repeats: int, seed: int
) -> dict[str, Any]:
    """law -> left-out table -> runs drawn -> {"weak", "public"}: mean over draws."""
    result: dict[str, Any] = {}
    for law in map(get_law, laws):
        tables = read_tables(folder, law)
        for name, table in tables.items():
            others = {n: t for n, t in tables.items() if n != name}
            if len(join_tables(others).languages) < 2:
                others = {**others, **{f"{n} again": t for n, t in others.items()}}
            public = population_prior(law, others)
            for language in table.languages:
                runs = table.for_language(language)
                for count in counts:
                    rng = np.random.default_rng([seed, count])
                    drawn = [draw_runs(runs, count, rng) for _ in range(repeats)]
                    by_prior = {
                        "weak": mean_errors(law, runs, drawn, weak_prior(law)),
                        "public": mean_errors(law, runs, drawn, public),
                    }
                    row = {k: float(np.mean(v)) for k, v in by_prior.items()}
                    row["public_better"] = float(np.mean(by_prior["public"] < by_prior["weak"]))
                    label = name if language == "all" else f"{name} {language}"
                    result.setdefault(law.name, {}).setdefault(label, {})[str(count)] = row
    return result


def write(folder: Path, target: Path) -> None:
    """Write the prior that all tables give, for each law of `LAWS`."""
    content: dict[str, Any] = {"kind": "m3jax prior", "source": "", "laws": {}}
    for law in map(get_law, LAWS):
        parts = read_tables(folder, law)
        content["laws"][law.name] = {
            name: list(span) for name, span in population_prior(law, parts).ranges.items()
        }
    listed = "; ".join(f"{name}: {what}" for name, what in SOURCES.items())
    content["source"] = (
        f"population of public run tables ({listed}), made {datetime.date.today().isoformat()} by"
        " tools/public_prior.py. One-sigma ranges of the next table: spread between tables and"
        f" doubt about the mean, no narrower than {NARROWEST:g} of the weak prior's sd. Law"
        f" chinchilla: Muennighoff up to {FEW_EPOCHS} epochs and Chinchilla; data_constrained: all"
        " of these two."
    )
    write_json(target, content)


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    for law, rows in result.items():
        print(f"{law}: mean |log error| at the table's other runs, weak -> public")
        for name, row in rows.items():
            cells = [
                f"{n} runs {r['weak']:.4f} -> {r['public']:.4f} ({r['public_better']:.0%} better)"
                for n, r in row.items()
            ]
            print(f"  {name:18s} " + "   ".join(cells))


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.name} and stop")
    parser.add_argument("--laws", nargs="*", choices=LAWS, default=("m3", "chinchilla"))
    parser.add_argument("--counts", nargs="*", type=int, default=(4, 8, 16), help="runs drawn")
    parser.add_argument("--repeats", type=int, default=20, help="draws of runs")
    options, as_json = parse(parser)
    folder = public_tables()
    if folder is None:
        return 2
    if options.pop("write"):
        write(folder, TARGET)
        return 0
    return print_result(leave_one_out(folder, **options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
