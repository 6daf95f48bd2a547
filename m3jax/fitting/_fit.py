"""`fit`: all languages of a run table in one batch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .._errors import M3Error
from .._progress import Progress, silent
from ..laws import Law, get_law
from ..runs import RunTable
from ._fits import Fits
from ._messages import at_bounds, borrowing
from .engine import CANDIDATES, TOLERANCE, Data, Found, multi_start, multi_start_on_host
from .pooling import (
    Population,
    Priors,
    data_of,
    estimate_priors,
    final_data,
    fit_with_priors,
    precision_of,
    prior_factor,
)
from .problem import POOLS, FitProblem, ParameterSpace, Prior, prepare, resolve, undetermined
from .uncertainty import KINDS, draws_of

_ALONE = "nothing to pool: fewer than two languages have 3 runs; each is fitted by itself"
_BLOCK = 1024  # languages fitted together: their arrays stay near the cache


def fit(
    runs: RunTable,
    law: str | Law = "m3",
    *,
    fixed: Mapping[str, float] | None = None,
    huber_delta: float = 1e-3,
    starts: int = 8,
    draws: int = 200,
    bootstrap: str = "cluster",
    level: float = 0.9,
    prior: str | os.PathLike[str] | Prior = "weak",
    pool: str = "none",
    precision: str = "float64",
    tolerance: float = TOLERANCE,
    engine: str = "batch",
    seed: int = 0,
    progress: Progress | None = None,
) -> Fits:
    """Fit a law to the runs of every language in the table.

    Minimises Σ weight·Huber_δ(log predicted loss − log measured loss) from several starts.
    Intervals come from `draws` refits to resampled runs. Coefficients that the runs cannot
    determine are frozen, with a message. A language that cannot be fitted is reported in
    `Fits.failed`.

    Args:
        runs: the run table.
        law: a law or its registered name.
        fixed: coefficient name -> value to hold it at, in all languages.
        huber_delta: δ, in log loss; set it near the noise level of the runs.
        starts: descents for each language, from the best of eight times as many candidates.
        draws: bootstrap draws, 0 for none.
        bootstrap: "cluster" weighs runs at random (the Bayesian bootstrap, Rubin 1981: Dirichlet
            weights on clusters, runs that share a `run_id` being one); "residual" deals the
            clusters' residuals out anew, which takes the noise to be the same everywhere.
        level: of the intervals.
        prior: "weak" adds a normal prior on every coefficient, with the range its starts come from
            as the one-sigma range, weighed against the noise of the runs. It decides nothing that
            the runs decide, and keeps the rest sane. "none" is the bare objective. "public" is what
            public run tables say of the coefficients; a `Prior`, or the path of its .json file, is
            what you say. With these, languages need no runs for the coefficients that are named (3
            at least), and a coefficient that is named is not frozen.
        pool: "none" fits each language by itself. "partial" learns from all languages how alike
            they are, coefficient by coefficient, and gives each a prior made from the others: few
            runs borrow what they leave open, many runs stay as they are. "full" gives all languages
            the same exponents and shapes, and each its own amplitudes. Either needs two languages,
            and 3 runs of each. See `Fits.population`.
        precision: "float64", or "float32" for devices that are slow in double: then only the last
            few Newton steps of each best fit are in double. The search for the best fits and the
            draws are in single precision either way, whose error is far below their spread.
        tolerance: a fit has converged when a full step promises less than this share of its
            objective.
        engine: "batch" compiles whole descents, for many languages; "host" compiles the law alone
            and makes the steps with NumPy, which gives a few best fits of a law tens of times
            sooner the first time. Draws and pooling compile in either.
        seed: of starts and draws; without pooling, a language's result does not depend on the
            others in the table.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on options outside their range or an unknown law or coefficient.
    """
    settings: dict[str, Any] = {
        "fixed": fixed,
        "huber_delta": huber_delta,
        "starts": starts,
        "draws": draws,
        "bootstrap": bootstrap,
        "level": level,
        "prior": prior,
        "pool": pool,
        "precision": precision,
        "tolerance": tolerance,
        "engine": engine,
        "seed": seed,
    }
    report = progress or silent
    return plan_fit(runs, law, settings, report).fit(report)


@dataclasses.dataclass(frozen=True)
class FitPlan:
    """What a fit has decided before its languages go their own ways, together or in shares.

    What all languages are needed for belongs here, the population they are pooled by among it; a
    language's result is then the same in whatever share it is fitted.

    Attributes:
        law: the law.
        problem: the languages that can be fitted.
        failed: the others, as in `Fits.failed`.
        settings: as in `Fits.settings`.
        priors: of each language, where they come from a population or the caller.
    """

    law: Law
    problem: FitProblem
    failed: Mapping[str, tuple[int, str]]
    settings: Mapping[str, Any]
    priors: Priors | None

    def fit(self, report: Progress) -> Fits:
        """Fits of all languages of the plan."""
        failed = dict(self.failed)
        with jax.enable_x64(True):
            if self.priors is not None:
                given = self.law, self.problem, self.priors, failed, self.settings
                return _fit_given(*given, report)
            found = _solve(self.law, self.problem, self.settings, report)
            problem, found = _without_lost(self.problem, found, failed)
            space = problem.space(self.law)
            data = solver_data(problem, space, self.settings["prior"], found.noise)
            has_say = np.einsum("ljj->lj", data.prior_precision) > 0
            eye = np.eye(len(self.law.names))
            factor = np.where(has_say, space.prior_sd, 0.0)[..., None] * eye
            drawn = draws_of(self.law, problem, space, found, data, factor, self.settings, report)
            return _assemble(self.law, problem, found, data, drawn, failed, self.settings)

    def take(self, rows: np.ndarray) -> FitPlan:
        """The plan for some of `problem.languages`; it has none in `failed`."""
        priors = None if self.priors is None else self.priors.take(rows)
        return dataclasses.replace(self, problem=self.problem.take(rows), failed={}, priors=priors)


def plan_fit(
    runs: RunTable, law: str | Law, options: Mapping[str, Any], report: Progress
) -> FitPlan:
    """Everything that a fit needs all languages for; `options` are all those of `fit`.

    Raises as `fit` does.
    """
    law = get_law(law)
    settings = {**options, "fixed": dict(options["fixed"] or {})}
    prior, pool = settings.pop("prior"), settings["pool"]
    _check(law, **settings)
    known, told = resolve(law, prior)
    if known is None and pool != "none":
        raise M3Error("prior: pooling needs one, expected other than 'none'")
    problem, failed, possible = prepare(law, runs.batch(), settings["fixed"], known, pool)
    notes = [*runs.notes, *([] if possible == pool else [_ALONE])]
    settings |= {**told, "pool": possible, "source": runs.source, "notes": notes}
    priors = None
    if known is not None and (known.ranges or possible != "none") and problem.languages:
        delta, seed = settings["huber_delta"], settings["seed"]
        with jax.enable_x64(True):
            priors = estimate_priors(law, problem, known, possible, delta, seed, report)
    return FitPlan(law, problem, failed, settings, priors)


def _fit_given(
    law: Law,
    problem: FitProblem,
    priors: Priors,
    failed: dict[str, tuple[int, str]],
    settings: Mapping[str, Any],
    report: Progress,
) -> Fits:
    """Fits of languages whose priors are known: all that `estimate_priors` saw, or some of them.

    `failed` holds the languages that could not be prepared; those without a finite fit join them.
    """
    report("fitting", 0, len(problem.languages))
    found = fit_with_priors(
        law,
        problem,
        priors,
        settings["huber_delta"],
        settings["precision"],
        settings["tolerance"],
        settings["seed"],
    )
    good = np.isfinite(found.misfit)
    problem, found = _without_lost(problem, found, failed)
    priors = priors.take(np.flatnonzero(good))
    report("fitting", len(problem.languages), len(problem.languages))
    space = problem.space(law)
    data = final_data(problem, space, priors, settings["huber_delta"])
    factor = prior_factor(priors.cov, data.free, priors.rotation)
    drawn = draws_of(law, problem, space, found, data, factor, settings, report, priors)
    for i, told in enumerate(borrowing(law, problem, priors)):
        problem.messages[i].extend(told)
    # What all languages share was held, at what they say of it together: that is a prior too.
    data = dataclasses.replace(data, prior_precision=precision_of(priors.cov, problem.free))
    return _assemble(law, problem, found, data, drawn, failed, settings, priors.population)


def _check(
    law: Law,
    *,
    fixed: Mapping[str, float],
    huber_delta: float,
    starts: int,
    draws: int,
    bootstrap: str,
    level: float,
    pool: str,
    precision: str,
    tolerance: float,
    engine: str,
    seed: int,
) -> None:
    for option, chosen, known in (
        ("pool", pool, POOLS),
        ("engine", engine, ("batch", "host")),
        ("bootstrap", bootstrap, KINDS),
        ("precision", precision, ("float64", "float32")),
    ):
        if chosen not in known:
            raise M3Error(f"{option}: expected {' or '.join(map(repr, known))}, got {chosen!r}")
    for name, value in fixed.items():
        if name not in law.names:
            raise M3Error(
                f"law {law.name} has no coefficient {name!r}; it has {', '.join(law.names)}"
            )
        c = law.coefficients[law.names.index(name)]
        if not c.bounds[0] <= value <= c.bounds[1]:
            raise M3Error(f"fixed {name} = {value}: expected a value within {c.bounds}")
    if not (np.isfinite(huber_delta) and huber_delta > 0):
        raise M3Error(f"huber_delta: expected a positive number, got {huber_delta}")
    if not 0 < tolerance < 1:
        raise M3Error(f"tolerance: expected a number between 0 and 1, got {tolerance}")
    if starts < 1 or draws < 0 or draws == 1:
        raise M3Error(f"expected starts >= 1 and draws 0 or >= 2, got {starts} and {draws}")
    if not (isinstance(seed, int) and seed >= 0):
        raise M3Error(f"seed: expected a whole number >= 0, got {seed!r}")
    if not 0 < level < 1:
        raise M3Error(f"level: expected a number between 0 and 1, got {level}")


def solver_data(problem: FitProblem, space: ParameterSpace, prior: str, noise: np.ndarray) -> Data:
    """The problem as the solver takes it, with the weak prior or none."""
    count, p = problem.free.shape
    precision = np.zeros((count, p, p))
    if prior != "none":
        inverse = problem.free / np.maximum(space.prior_sd, 1e-9) ** 2
        precision[:, np.arange(p), np.arange(p)] = inverse
    return data_of(problem, space, space.prior_mean, precision, noise)


def _solve(law: Law, problem: FitProblem, settings: Mapping[str, Any], report: Progress) -> Found:
    """Best fits; what the runs turn out not to determine is frozen in `problem` on the way."""
    total = len(problem.languages)
    n, p = problem.log_loss.shape[1], len(law.names)
    shapes = (total, p), (total,), (total,), (total,), (total,), (total, n), (total, n, p)
    out = Found(*(np.zeros(shape) for shape in shapes))
    todo = np.arange(total)
    while len(todo):
        report("fitting", total - len(todo), total)
        now, todo = todo[:_BLOCK], todo[_BLOCK:]
        part = problem.take(now)
        space = part.space(law)
        # The same shares of each range in every language and block.
        rng = np.random.default_rng([settings["seed"], 0])
        candidates = space.draw(CANDIDATES * settings["starts"], rng)
        candidates = np.where(part.free[:, None], candidates, space.to_x(part.held)[:, None])
        data = solver_data(part, space, settings["prior"], np.zeros(len(now)))
        given = law, candidates, data, settings["huber_delta"], settings["starts"]
        if settings["engine"] == "host":
            found = multi_start_on_host(*given, settings["tolerance"])
        else:
            found = multi_start(*given, settings["precision"], settings["tolerance"])
        for whole, new in zip(out, found, strict=True):
            whole[now] = new
        # Freezing removes at least one coefficient each time round, so this ends.
        todo = np.concatenate([todo, now[_freeze(law, problem, now, space, found)]])
    report("fitting", total, total)
    return out


def _freeze(
    law: Law, problem: FitProblem, rows: np.ndarray, space: ParameterSpace, found: Found
) -> np.ndarray:
    """Freeze what the runs do not determine at the optimum; which of `rows` need a refit."""
    free = problem.free[rows]
    inside = (found.x > space.lower) & (found.x < space.upper) & free
    inside &= np.isfinite(found.misfit)[:, None]
    idle, redundant = undetermined(found.jacobian, inside)
    theta = np.einsum("lij,lj->li", space.centre, found.x)
    for i in np.flatnonzero((idle | redundant).any(axis=1)):
        for which, why in (
            (idle[i], "has no effect on the runs' losses at the best fit: held where it is"),
            (
                redundant[i],
                "cannot be told from the other coefficients by these runs: held at neutral",
            ),
        ):
            if which.any():
                names = ", ".join(law.names[j] for j in np.flatnonzero(which))
                problem.messages[rows[i]].append(f"{names} {why}")
        problem.free[rows[i]] &= ~(idle[i] | redundant[i])
        problem.held[rows[i], idle[i]] = theta[i, idle[i]]
    return np.asarray(redundant.any(axis=1))


def _without_lost(
    problem: FitProblem, found: Found, failed: dict[str, tuple[int, str]]
) -> tuple[FitProblem, Found]:
    """Drop languages without a finite fit, with the reason in `failed`."""
    good = np.isfinite(found.misfit)
    for i in np.flatnonzero(~good):
        failed[problem.languages[i]] = (
            int(problem.mask[i].sum()),
            "no start gave a finite loss; check the law's start ranges",
        )
    rows = np.flatnonzero(good)
    return problem.take(rows), Found(*(leaf[rows] for leaf in found))


def _assemble(
    law: Law,
    problem: FitProblem,
    found: Found,
    data: Data,
    draws: np.ndarray,
    failed: Mapping[str, tuple[int, str]],
    settings: Mapping[str, Any],
    population: Population | None = None,
) -> Fits:
    """`data` is what the best fits `found` were made with."""
    space = problem.space(law)
    x = np.where(problem.free, found.x, space.to_x(problem.held))
    theta = np.einsum("lij,lj->li", space.centre, x)
    theta = np.where(problem.free, theta, problem.held)
    # The prior as it is for theta: the solver's variables depend on the runs.
    expected = np.where(problem.free, data.prior_mean, x)
    inverse = np.linalg.inv(space.centre)
    loss = np.where(problem.mask, np.exp(problem.log_loss), 0.0)
    n_runs = problem.mask.sum(axis=1)
    mean = loss.sum(axis=1) / np.maximum(n_runs, 1)
    total = np.sum(np.where(problem.mask, loss - mean[:, None], 0.0) ** 2, axis=1)
    error = np.sum((loss * np.expm1(found.residual)) ** 2, axis=1)
    told = at_bounds(law, problem, space, x, theta)
    for i in np.flatnonzero(~found.converged.astype(bool)):
        told[i].insert(0, "the fit stopped at its iteration limit; try more starts")
    return Fits(
        law=law,
        languages=problem.languages,
        theta=theta,
        draws=np.where(problem.free[:, None], draws, problem.held[:, None]),
        frozen=~problem.free,
        objective=found.misfit,
        r2=np.where(total > 0, 1 - error / np.where(total > 0, total, 1.0), 0.0),
        n_runs=n_runs,
        converged=found.converged.astype(bool),
        agreement=found.agreement,
        prior_mean=np.einsum("lij,lj->li", space.centre, expected),
        prior_precision=np.swapaxes(inverse, 1, 2) @ data.prior_precision @ inverse,
        prior_weight=np.asarray(data.noise, dtype=np.float64),
        scopes=tuple(problem.scopes),
        messages=tuple(tuple(m + t) for m, t in zip(problem.messages, told, strict=True)),
        failed=failed,
        settings=settings,
        population=population,
    )
