"""The options of `fit`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ._core import (
    MOST_COUNTED,
    POSITIVE,
    PROPER_SHARE,
    Allowed,
    Options,
    at_least,
    counted,
    option,
)

BOOTSTRAPS = ("cluster", "residual")
INTERVALS = ("calibrated", "bootstrap")
NOISES = ("constant", "uneven")
POOLS = ("none", "partial", "full")
ENGINES = ("auto", "batch", "host")
PRECISIONS = ("float64", "float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions(Options):
    """How a law is fitted; every field is a keyword of `fit` and `fit_in_chunks`."""

    fixed: Mapping[str, float] = option(
        {},
        kind="numbers by name",
        flags=("--fix",),
        help="Coefficients to hold: name and value. They are held in all languages.",
    )
    huber_delta: float | None = option(
        None,
        kind="number",
        unit="log loss",
        allowed=POSITIVE,
        help="Residuals in log loss beyond this count linearly. By default half the robust"
        " scatter of each language's own runs (a typical 0.01 counting as four of them); the"
        " result tells it, and the same number given leads to the same fit.",
    )
    starts: int = option(
        8,
        kind="whole number",
        allowed=counted(1),
        help="Descents for each language. They begin at the best of eight times as many"
        " candidates.",
    )
    draws: int = option(
        200,
        kind="whole number",
        allowed=Allowed("0 or a whole number >= 2", lambda n: n == 0 or n >= 2, MOST_COUNTED),
        help="Bootstrap draws for intervals; 0 for none. Each is a refit to resampled runs.",
    )
    bootstrap: str = option(
        "cluster",
        kind="text",
        choices=BOOTSTRAPS,
        help="cluster: weigh runs at random; residual: deal out residuals anew. The first is the"
        " Bayesian bootstrap (Rubin 1981), Dirichlet weights on clusters, runs that share a"
        " `run_id` being one; the second takes the noise to be the same everywhere.",
    )
    intervals: str = option(
        "calibrated",
        kind="text",
        choices=INTERVALS,
        help="calibrated: as wide as hold-outs inside each language's runs ask for, wider the"
        " farther a recipe lies beyond the runs, where a law errs by more than its runs scatter;"
        " bootstrap: what resampling the runs says, which takes the law to be true.",
    )
    noise: str = option(
        "constant",
        kind="text",
        choices=NOISES,
        help="constant: runs scatter alike; uneven: where those of a language show that they"
        " scatter more with many epochs or at some ratios, they count by that, and intervals of one"
        " run know it. Of pooled languages it is constant.",
    )
    level: float = option(0.9, kind="number", allowed=PROPER_SHARE, help="Level of the intervals.")
    prior: Any = option(
        "weak",
        kind="prior",
        help='weak: keeps the undecided sane; public; none; or your own .json file. "weak" is a'
        " normal prior on every coefficient whose one-sigma range is the one its starts come from,"
        " weighed against the noise of the runs: it decides nothing that the runs decide; of fewer"
        ' runs than free coefficients and two, 3 at least, it decides what they leave open. "none"'
        ' is the bare objective. "public" is what public run tables say of the coefficients; a'
        " `Prior`, or the path of its file, is what you say. With these two a language needs no"
        " runs for the coefficients that are named (3 at least, 1 where all are known together,"
        " as those of m3 are in the public one), and none of these is frozen.",
    )
    pool: str = option(
        "none",
        kind="text",
        choices=POOLS,
        help='What languages share: none, partial (few-run ones borrow), full. "partial" learns'
        " from all languages how alike they are, coefficient by coefficient, and gives each a"
        ' prior made from the others. "full" gives all languages the same exponents and shapes,'
        " and each its own amplitudes. Either needs two languages with 3 runs each; see"
        " `Fits.population`.",
    )
    precision: str = option(
        "float64",
        kind="text",
        choices=PRECISIONS,
        help="float64, or float32 for devices slow in double. With float32 only the last few"
        " Newton steps of each best fit are in double. The search and the draws are in single"
        " precision either way; its error is far below their spread.",
    )
    tolerance: float = option(
        1e-9,
        kind="number",
        allowed=PROPER_SHARE,
        help="Relative gain at which a fit has converged. A full step then promises less than this"
        " share of the objective.",
    )
    engine: str = option(
        "auto",
        kind="text",
        choices=ENGINES,
        help="batch: whole descents compiled, for very many fits and accelerators; host: made by"
        " NumPy, nothing compiled; auto: what is sooner done, for the search and for the draws,"
        " which the fit then tells. They agree to within the tolerance.",
    )
    seed: int = option(
        0,
        kind="whole number",
        allowed=at_least(0, "a whole number"),
        help="Same seed, same result. Without pooling a language's result does not depend on the"
        " others in the table.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkOptions(Options):
    """How the work of a fit is kept and shared on the command line; see `fit_in_chunks`."""

    checkpoint: Any = option(
        None,
        kind="file",
        help="Keep finished languages in this folder; start again to go on.",
    )
    distributed: bool = option(
        False,
        kind="true or false",
        help="Share the work: Slurm, MPI, Kubernetes, TPU pods.",
    )
    coordinator: str | None = option(
        None, kind="text", help="The same elsewhere: where process 0 is, HOST:PORT."
    )
    processes: int | None = option(
        None,
        kind="whole number",
        allowed=counted(1),
        help="How many share the work.",
    )
    process: int | None = option(
        None,
        kind="whole number",
        allowed=at_least(0, "a whole number"),
        help="Which of them this is, from 0.",
    )
    patience: float = option(
        300.0,
        kind="number",
        unit="seconds",
        allowed=POSITIVE,
        help="How long to wait for a process that shows no sign of life.",
    )
