"""`fit`: all languages of a run table in one batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .._errors import M3Error
from .._progress import Progress, silent
from ..laws import Law, get_law
from ..options import FitOptions, takes
from ..runs import RunTable
from ._fits import Fits
from ._messages import at_bounds, borrowing
from .engine import CANDIDATES_PER_START, BestFits, FitData, multi_start, multi_start_on_host
from .pooling import (
    Population,
    Priors,
    estimate_priors,
    final_fit_data,
    fit_data,
    fit_with_priors,
    inverse_covariance,
    prior_factor,
)
from .problem import FitProblem, ParameterSpace, prepare, resolve, undetermined
from .uncertainty import FittedProblem, bootstrap_draws

_ALONE = "nothing to pool: fewer than two languages have 3 runs; each is fitted by itself"
_BLOCK = 1024  # languages fitted together: their arrays stay near the cache


@takes(FitOptions)
def fit(
    runs: RunTable,
    law: str | Law = "m3",
    *,
    options: FitOptions,
    progress: Progress | None = None,
) -> Fits:
    """Fit a law to the runs of every language in the table.

    Minimises Σ weight·Huber_δ(log predicted loss − log measured loss) from several starts.
    Intervals come from refits to resampled runs. Coefficients that the runs cannot determine are
    frozen, with a message. A language that cannot be fitted is reported in `Fits.failed`.

    Args:
        runs: the run table.
        law: a law or its registered name.
        options: the fields of `FitOptions`, each a keyword.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on options outside their range or an unknown law or coefficient.
    """
    report = progress or silent
    return plan_fit(runs, law, options, report).fit(report)


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
            data = solver_data(problem, space, self.settings["prior"], found.prior_weight)
            has_say = np.einsum("ljj->lj", data.prior_precision) > 0
            eye = np.eye(len(self.law.names))
            factor = np.where(has_say, space.prior_sd, 0.0)[..., None] * eye
            fitted = FittedProblem(self.law, problem, space, found, data, self.settings)
            drawn = bootstrap_draws(fitted, factor, report)
            return _assemble(self.law, problem, found, data, drawn, failed, self.settings)

    def take(self, rows: np.ndarray) -> FitPlan:
        """The plan for some of `problem.languages`; it has none in `failed`."""
        priors = None if self.priors is None else self.priors.take(rows)
        return dataclasses.replace(self, problem=self.problem.take(rows), failed={}, priors=priors)


def plan_fit(runs: RunTable, law: str | Law, options: FitOptions, report: Progress) -> FitPlan:
    """Everything that a fit needs all languages for.

    Raises as `fit` does.
    """
    law = get_law(law)
    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    prior, pool = settings.pop("prior"), options.pool
    _check_fixed(law, options.fixed)
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
    data = final_fit_data(problem, space, priors, settings["huber_delta"])
    factor = prior_factor(priors.cov, data.free, priors.rotation)
    fitted = FittedProblem(law, problem, space, found, data, settings)
    drawn = bootstrap_draws(fitted, factor, report, priors)
    for i, told in enumerate(borrowing(law, problem, priors)):
        problem.messages[i].extend(told)
    # What all languages share was held, at what they say of it together: that is a prior too.
    data = dataclasses.replace(data, prior_precision=inverse_covariance(priors.cov, problem.free))
    return _assemble(law, problem, found, data, drawn, failed, settings, priors.population)


def _check_fixed(law: Law, fixed: Mapping[str, float]) -> None:
    """Raise `M3Error` on coefficients that the law lacks, or values outside their bounds."""
    for name, value in fixed.items():
        if name not in law.names:
            raise M3Error(
                f"law {law.name} has no coefficient {name!r}; it has {', '.join(law.names)}"
            )
        c = law.coefficients[law.names.index(name)]
        if not c.bounds[0] <= value <= c.bounds[1]:
            raise M3Error(f"fixed {name} = {value}: expected a value within {c.bounds}")


def solver_data(
    problem: FitProblem, space: ParameterSpace, prior: str, prior_weight: np.ndarray
) -> FitData:
    """The problem as the solver takes it, with the weak prior or none."""
    count, p = problem.free.shape
    precision = np.zeros((count, p, p))
    if prior != "none":
        inverse = problem.free / np.maximum(space.prior_sd, 1e-9) ** 2
        precision[:, np.arange(p), np.arange(p)] = inverse
    return fit_data(problem, space, space.prior_mean, precision, prior_weight)


def _solve(
    law: Law, problem: FitProblem, settings: Mapping[str, Any], report: Progress
) -> BestFits:
    """Best fits; what the runs turn out not to determine is frozen in `problem` on the way."""
    total = len(problem.languages)
    n, p = problem.log_loss.shape[1], len(law.names)
    shapes = (total, p), (total,), (total,), (total,), (total,), (total, n), (total, n, p)
    out = BestFits(*(np.zeros(shape) for shape in shapes))
    todo = np.arange(total)
    while len(todo):
        report("fitting", total - len(todo), total)
        now, todo = todo[:_BLOCK], todo[_BLOCK:]
        part = problem.take(now)
        space = part.space(law)
        # The same shares of each range in every language and block.
        rng = np.random.default_rng([settings["seed"], 0])
        candidates = space.draw(CANDIDATES_PER_START * settings["starts"], rng)
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
    law: Law, problem: FitProblem, rows: np.ndarray, space: ParameterSpace, found: BestFits
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
    problem: FitProblem, found: BestFits, failed: dict[str, tuple[int, str]]
) -> tuple[FitProblem, BestFits]:
    """Drop languages without a finite fit, with the reason in `failed`."""
    good = np.isfinite(found.misfit)
    for i in np.flatnonzero(~good):
        failed[problem.languages[i]] = (
            int(problem.mask[i].sum()),
            "no start gave a finite loss; check the law's start ranges",
        )
    rows = np.flatnonzero(good)
    return problem.take(rows), BestFits(*(leaf[rows] for leaf in found))


def _assemble(
    law: Law,
    problem: FitProblem,
    found: BestFits,
    data: FitData,
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
    told = at_bounds(law, problem, x)
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
        prior_weight=np.asarray(data.prior_weight, dtype=np.float64),
        scopes=tuple(problem.scopes),
        messages=tuple(tuple(m + t) for m, t in zip(problem.messages, told, strict=True)),
        failed=failed,
        settings=settings,
        population=population,
    )
