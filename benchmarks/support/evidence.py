"""Every run table that the public evidence is made of, as languages of one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from benchmarks.support.data import read_muennighoff_runs, read_wikipedia_runs
from m3jax import RunTable
from m3jax.fitting import Evidence, EvidenceTable, Prior, Scope
from m3jax.fitting.engine import CompiledDescents, log_losses
from m3jax.fitting.pooling import SpreadBelief, estimate_priors
from m3jax.fitting.problem import (
    FitProblem,
    amplitudes,
    doubting_two_stages,
    prepare_problem,
    reference_centre,
    reference_recipe,
)
from m3jax.laws import get_law

_COLUMNS = [
    "language", "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio",
    "first_ratio", "loss", "run_id",
]  # fmt: skip


# Recipes of the scale that is asked about, at which the terms of the law are sized: a typical one,
# and for the penalty one with many epochs, where tables agree best on how large it is.
BASE = {"n_params": 4e8, "target_tokens": 2e9, "epochs": 2.0, "target_ratio": 0.4}
PENALTY = {"n_params": 1e8, "target_tokens": 1e8, "epochs": 16.0, "target_ratio": 0.4}
# Chosen with the tables left out in turn, see decisions.md.
BELIEF = SpreadBelief(languages=4.0, sd=0.25)
WIDTH = 2.0
TYPICAL = (float(np.log(3.0)), 0.3)  # log loss of a subword, nats, at the base
# Compute-optimal monolingual models, one epoch, as published from 1e19 to 1e22 FLOP: tokens per
# parameter (arXiv:2203.15556, 2404.10102 and later sweeps lie within).
TOKENS_PER_PARAMETER, AT_COMPUTE = (5.0, 100.0), (1e19, 1e22)
_SAMPLES = 20000
_OF_PENALTY = ("P", "delta", "kappa", "omega", "theta", "R", "tau")
_NO_PENALTY = -60.0  # log of an amplitude


class Table(NamedTuple):
    """One table: its runs as a frame whose languages begin with its name, and where it is from."""

    runs: pd.DataFrame
    source: str


def read_evidence(folder: Path) -> dict[str, Table]:
    """The tables, by name; `folder` holds the public ones."""
    pilot = resources.files("m3jax") / "data" / "pilot_debian.csv"
    chinchilla = RunTable.read(folder / "chinchilla" / "runs_245.csv").drop_highest(5)
    tiny = RunTable.read(folder / "tiny_two_stage" / "runs.csv")
    return {
        "Muennighoff": Table(
            _named(read_muennighoff_runs(folder), "Muennighoff"),
            "C4, to 9,000 epochs: arXiv:2305.16264",
        ),
        "Chinchilla": Table(
            _named(chinchilla, "Chinchilla"),
            "one epoch: arXiv:2203.15556, as read by arXiv:2404.10102",
        ),
        "Wikipedia": Table(
            _named(read_wikipedia_runs(folder), "Wikipedia"),
            "Wikipedia mixed into web text, to 17 epochs: arXiv:2606.07597",
        ),
        "domains": Table(
            _domain_runs(folder / "dmsl" / "runs.csv"),
            "seven domains in 61 mixtures, each in turn the target, at most one epoch: DMSL",
        ),
        "tiny": Table(_named(tiny, "tiny"), "two stages, two languages, tokens are bytes: m3jax"),
        "pilot": Table(
            _named(RunTable.read(str(pilot)), "pilot"),
            "two stages, four languages, tokens are bytes: m3jax",
        ),
    }


def _named(table: RunTable, name: str) -> pd.DataFrame:
    frame = table.to_frame()
    frame["language"] = name if len(table.languages) == 1 else name + " " + frame.language
    frame["run_id"] = frame.language + " " + frame.run_id.astype(str)
    return frame[_COLUMNS]


def _domain_runs(path: Path) -> pd.DataFrame:
    """Each domain as a target, the other six being the source; the ends of the runs alone.

    Checkpoints within a run have not had their learning rate lowered.
    """
    table = pd.read_csv(path)
    weights = [name for name in table if name.startswith("weight_")]
    last = table.n_tokens >= 0.999 * table.groupby("model_size").n_tokens.transform("max")
    table = table[last]
    mixture = table.groupby(weights).ngroup().astype(str)
    frames = []
    for column in weights:
        domain = column.removeprefix("weight_")
        loss, ratio = table[f"{domain}_loss"], table[column]
        name = f"domains {domain}"
        runs = pd.DataFrame(
            {
                "language": name,
                "n_params": table.model_size,
                "target_tokens": ratio * table.n_tokens,
                "epochs": 1.0,
                "target_ratio": ratio,
                "final_ratio": ratio,
                "first_ratio": ratio,
                "loss": loss,
                "run_id": name + " " + mixture + " " + table.model_size.map("{:.0f}".format),
            }
        )
        frames.append(runs[np.isfinite(loss) & (ratio > 0)])
    return pd.concat(frames)


def evidence_of(tables: Mapping[str, Table], made: str, law_name: str = "m3") -> Evidence:
    """What these tables say of a further language, by partial pooling with a common centre."""
    law, prior = get_law(law_name), Prior()
    runs = RunTable.from_frame(pd.concat([table.runs for table in tables.values()]))
    problem, failed, pool = prepare_problem(law, runs.batch(), {}, prior, "partial")
    assert not failed, failed
    assert pool == "partial"
    problem = _without_penalty_where_nothing_is_repeated(problem, law.names)
    problem.common = reference_centre(law, BASE, PENALTY)
    with jax.enable_x64(True):
        descents = CompiledDescents(law, "float64", 1e-9)
        priors = estimate_priors(
            descents, problem, prior, pool, 1e-3, 0, lambda *_: None, belief=BELIEF
        )
    assert priors.population is not None
    assert priors.further_mean is not None
    assert priors.further_cov is not None
    centre = reference_centre(law, BASE, PENALTY)
    mean, cov = _with_known_sizes(law.names, centre, priors.further_mean, priors.further_cov)
    level = log_losses(law, (centre @ mean)[None], reference_recipe(BASE))[0, 0]
    scope = Scope.of(runs.recipe)
    return Evidence(
        law=law,
        base=BASE,
        penalty=PENALTY,
        mean=mean - amplitudes(law) * level,
        cov=doubting_two_stages(law, cov),
        typical=TYPICAL,
        noise=float(f"{np.median(priors.noise):.3g}"),
        width=WIDTH,
        scope=Scope(scope.ranges, scope.varies, scope.first_share, len(runs.languages)),
        tables=tuple(
            EvidenceTable.of(
                name,
                table.source,
                RunTable.from_frame(table.runs).recipe,
                table.runs.language.nunique(),
            )
            for name, table in tables.items()
        ),
        made=made,
    )


def _without_penalty_where_nothing_is_repeated(
    problem: FitProblem, names: tuple[str, ...]
) -> FitProblem:
    """Tables of one epoch say nothing of the penalty, which would take the place of E in them.

    The languages with all coefficients free come first: the population has those of the first.
    """
    penalty = np.array([name in _OF_PENALTY for name in names])
    for i, used in enumerate(problem.mask):
        if problem.recipe.epochs[i, used].max() <= 1 + 1e-9:
            problem.free[i, penalty] = False
            problem.held[i, names.index("P")] = _NO_PENALTY
    every = problem.free.all(axis=1)
    return problem.take(np.argsort(~every, kind="stable"))


def _with_known_sizes(
    names: Sequence[str], centre: np.ndarray, mean: np.ndarray, cov: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of those draws of x whose compute-optimal sizes are as published.

    Tables of one design hardly tell A from B, and the population takes them as independent; but how
    large a model is best for a budget is known: with N the best size at C = 6·N·D,
    α·A·N^-α = β·B·(C/6N)^-β.
    """
    x = (
        mean
        + np.random.default_rng(0).standard_normal((_SAMPLES, len(mean)))
        @ np.linalg.cholesky(cov).T
    )
    theta = x @ centre.T
    a, alpha, b, beta = (theta[:, names.index(name)] for name in ("A", "alpha", "B", "beta"))
    keep = (alpha > 0.02) & (beta > 0.02)
    alpha, beta = np.where(keep, alpha, 1.0), np.where(keep, beta, 1.0)
    for compute in AT_COMPUTE:
        log_d = np.log(compute / 6)
        log_n = (np.log(alpha / beta) + a - b + beta * log_d) / (alpha + beta)
        per_parameter = np.exp(log_d - 2 * log_n)
        low, high = TOKENS_PER_PARAMETER
        keep &= (per_parameter >= low) & (per_parameter <= high)
    return x[keep].mean(axis=0), np.cov(x[keep], rowvar=False)
