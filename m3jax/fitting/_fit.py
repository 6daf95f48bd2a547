"""`fit`: all languages of a run table in one batch."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .._errors import M3Error
from .._progress import Progress, silent
from ..laws import Law, LogSpaceLaw, get_law
from ..recipe import Recipe
from ..runs import RunBatch, RunTable
from ._fits import Fits
from ._objective import Data
from ._scope import Scope, undetermined, unmet_needs
from ._solver import Fit, descend, multi_start
from ._space import Space

_SPARE_RUNS = 2  # runs beyond the number of coefficients that a fit must have
_VANISHED = -20.0  # log size of a term, relative to the typical loss, that is as good as gone
_CHUNK = 300_000  # runs × starts (or draws) in one compiled call: bounds memory, fits the cache


@dataclasses.dataclass
class _Job:
    """One language on its way through the fit."""

    name: str
    row: int  # in the batch
    recipe: Recipe
    log_loss: np.ndarray
    scope: Scope
    theta0: np.ndarray  # values of the coefficients that are held
    free: np.ndarray
    messages: list[str]

    @property
    def mean_log_loss(self) -> float:
        return float(self.log_loss.mean())

    def space(self, law: Law) -> Space:
        """The solver's space; it changes when coefficients are frozen."""
        return Space.of(law, self.recipe, self.mean_log_loss, self.free)


def fit(
    runs: RunTable,
    law: str | Law = "m3",
    *,
    fixed: Mapping[str, float] | None = None,
    huber_delta: float = 1e-3,
    starts: int = 96,
    draws: int = 200,
    level: float = 0.9,
    prior: str = "weak",
    seed: int = 0,
    progress: Progress | None = None,
) -> Fits:
    """Fit a law to the runs of every language in the table.

    Minimises Σ weight·Huber_δ(log predicted loss − log measured loss) from many starts. Intervals
    come from `draws` refits with random run weights (the Bayesian bootstrap, Rubin 1981: Dirichlet
    weights on clusters, runs that share a `run_id` being one).
    Coefficients that the runs cannot determine are frozen, with a message. A language that cannot
    be fitted is reported in `Fits.failed`.

    Args:
        runs: the run table.
        law: a law or its registered name.
        fixed: coefficient name -> value to hold it at, in all languages.
        huber_delta: δ, in log loss; set it near the noise level of the runs.
        starts: random starts for each language.
        draws: bootstrap draws, 0 for none.
        level: of the intervals.
        prior: "weak" adds a normal prior on every coefficient, with the range its starts come from
            as the one-sigma range, weighed against the noise of the runs. It decides nothing that
            the runs decide, and keeps the rest sane. "none" is the bare objective.
        seed: of starts and draws; a language's result does not depend on the others in the table.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on options outside their range or an unknown law or coefficient.
    """
    law = get_law(law)
    fixed = dict(fixed or {})
    _check(law, fixed, huber_delta, starts, draws, level, prior, seed)
    report = progress or silent
    batch = runs.batch()
    jobs, failed = _prepare(law, batch, fixed)

    weigh = 1.0 if prior == "weak" else 0.0

    with jax.enable_x64(True):
        found: dict[str, Fit] = {}
        todo = jobs
        while todo:
            found |= _solve(law, batch, todo, huber_delta, weigh, starts, seed, report)
            # Freezing removes at least one coefficient each time round, so this ends.
            todo = [j for j in todo if _freeze(law, j, found[j.name])]
        lost = [j for j in jobs if not np.isfinite(found[j.name].misfit)]
        failed |= {
            j.name: (len(j.log_loss), "no start gave a finite loss; check the law's start ranges")
            for j in lost
        }
        jobs = [j for j in jobs if j not in lost]
        resampled = _bootstrap(law, batch, jobs, found, huber_delta, weigh, draws, seed, report)
        return _assemble(
            law,
            jobs,
            found,
            resampled,
            failed,
            settings={
                "huber_delta": huber_delta,
                "starts": starts,
                "draws": draws,
                "level": level,
                "prior": prior,
                "seed": seed,
                "fixed": fixed,
                "source": runs.source,
                "notes": list(runs.notes),
            },
        )


def _check(
    law: Law,
    fixed: Mapping[str, float],
    delta: float,
    starts: int,
    draws: int,
    level: float,
    prior: str,
    seed: int,
) -> None:
    if prior not in ("weak", "none"):
        raise M3Error(f"prior: expected 'weak' or 'none', got {prior!r}")
    for name, value in fixed.items():
        if name not in law.names:
            raise M3Error(
                f"law {law.name} has no coefficient {name!r}; it has {', '.join(law.names)}"
            )
        c = law.coefficients[law.names.index(name)]
        if not c.bounds[0] <= value <= c.bounds[1]:
            raise M3Error(f"fixed {name} = {value}: expected a value within {c.bounds}")
    if not (np.isfinite(delta) and delta > 0):
        raise M3Error(f"huber_delta: expected a positive number, got {delta}")
    if starts < 1 or draws < 0 or draws == 1:
        raise M3Error(f"expected starts >= 1 and draws 0 or >= 2, got {starts} and {draws}")
    if not (isinstance(seed, int) and seed >= 0):
        raise M3Error(f"seed: expected a whole number >= 0, got {seed!r}")
    if not 0 < level < 1:
        raise M3Error(f"level: expected a number between 0 and 1, got {level}")


def _prepare(
    law: Law, batch: RunBatch, fixed: Mapping[str, float]
) -> tuple[list[_Job], dict[str, tuple[int, str]]]:
    jobs, failed = [], {}
    neutral = law.theta_neutral()
    for i, name in enumerate(batch.languages):
        real = np.asarray(batch.mask[i])
        recipe = jax.tree.map(lambda leaf, i=i, real=real: np.asarray(leaf[i])[real], batch.recipe)
        scope = Scope.of(recipe)
        frozen, messages = unmet_needs(law, scope, fixed)
        theta0 = neutral.copy()
        for j, c in enumerate(law.coefficients):
            if c.name in fixed:
                theta0[j] = np.log(fixed[c.name]) if c.log else fixed[c.name]
        free = np.array([n not in frozen and n not in fixed for n in law.names])
        used = np.asarray(batch.weight[i])[real] > 0
        distinct = len(np.unique(np.asarray(batch.cluster[i])[real][used]))
        needed = int(free.sum()) + _SPARE_RUNS
        if distinct < needed:
            failed[name] = (
                int(real.sum()),
                f"too few runs: {distinct}; law {law.name} needs at least {needed}, for the"
                f" {free.sum()} of its coefficients that are free; add runs, fix coefficients or"
                " take a smaller law",
            )
            continue
        log_loss = np.log(np.asarray(batch.loss[i])[real])
        jobs.append(_Job(name, i, recipe, log_loss, scope, theta0, free, messages))
    return jobs, failed


def _data(law: Law, batch: RunBatch, jobs: list[_Job], weigh: float) -> Data:
    """The jobs as one batch for the solver."""
    rows = np.array([j.row for j in jobs])
    spaces = [j.space(law) for j in jobs]
    free = np.stack([j.free for j in jobs])
    sd = np.stack([s.prior_sd for s in spaces])
    return Data(
        recipe=jax.tree.map(lambda leaf: np.asarray(leaf)[rows], batch.recipe),
        log_loss=np.log(np.asarray(batch.loss)[rows]),
        weight=np.asarray(batch.weight)[rows],
        centre=np.stack([s.centre for s in spaces]),
        lower=np.stack([s.lower for s in spaces]),
        upper=np.stack([s.upper for s in spaces]),
        free=free,
        prior_mean=np.stack([s.prior_mean for s in spaces]),
        prior_precision=weigh * free / np.maximum(sd, 1e-9) ** 2,
    )


def _chunks(jobs: list[_Job], runs: int, repeats: int) -> list[list[_Job]]:
    """Split jobs so that one compiled call stays small; the sizes are powers of two."""
    most = max(1, _CHUNK // max(1, runs * repeats))
    size = 1 << (most.bit_length() - 1)
    return [jobs[i : i + size] for i in range(0, len(jobs), size)]


def _padded(jobs: list[_Job]) -> list[_Job]:
    """Repeat the last job up to a power of two, so that few shapes are ever compiled."""
    size = 1 << (len(jobs) - 1).bit_length()
    return jobs + [jobs[-1]] * (size - len(jobs))


def _rng(seed: int, language: str, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, zlib.crc32(language.encode())])


def _solve(
    law: Law,
    batch: RunBatch,
    jobs: list[_Job],
    delta: float,
    weigh: float,
    count: int,
    seed: int,
    report: Progress,
) -> dict[str, Fit]:
    """Best fit of each job."""
    out: dict[str, Fit] = {}
    for chunk in _chunks(jobs, batch.loss.shape[1], count):
        report("fitting", len(out), len(jobs))
        padded = _padded(chunk)
        starts = []
        for job in padded:
            space = job.space(law)
            drawn = space.draw(count, _rng(seed, job.name, 0))
            starts.append(np.where(job.free, drawn, space.to_x(job.theta0)))
        data = _data(law, batch, padded, weigh)
        found = multi_start(law, np.stack(starts), data, delta)
        for i, job in enumerate(chunk):
            out[job.name] = Fit(*(leaf[i] for leaf in found))
    report("fitting", len(jobs), len(jobs))
    return out


def _freeze(law: Law, job: _Job, found: Fit) -> bool:
    """Freeze what the runs turn out not to determine at the optimum; True if that needs a refit."""
    if not np.isfinite(found.misfit):
        return False
    space = job.space(law)
    inside = (found.x > space.lower) & (found.x < space.upper) & job.free
    idle, redundant = undetermined(found.jacobian[: len(job.log_loss)], inside)
    for indices, why in (
        (idle, "has no effect on the runs' losses at the best fit: held where it is"),
        (redundant, "cannot be told from the other coefficients by these runs: held at neutral"),
    ):
        if indices:
            job.messages.append(f"{', '.join(law.names[i] for i in indices)} {why}")
            job.free[indices] = False
    job.theta0[idle] = found.theta[idle]
    return bool(redundant)


def _bootstrap(
    law: Law,
    batch: RunBatch,
    jobs: list[_Job],
    found: Mapping[str, Fit],
    delta: float,
    weigh: float,
    draws: int,
    seed: int,
    report: Progress,
) -> dict[str, np.ndarray]:
    """Draws of theta, (draws, p) per language.

    Whole clusters get Dirichlet weights. The centre of the prior is drawn too: were it fixed, what
    only the prior decides would look certain.
    """
    p = len(law.names)
    if draws == 0:
        return {job.name: np.empty((0, p)) for job in jobs}
    out: dict[str, np.ndarray] = {}
    for chunk in _chunks(jobs, batch.loss.shape[1], draws):
        report("bootstrap", len(out), len(jobs))
        padded = _padded(chunk)
        weights, means, warm = [], [], []
        for job in padded:
            rng, space = _rng(seed, job.name, 1), job.space(law)
            cluster = np.asarray(batch.cluster[job.row])
            size = int(cluster.max()) + 1
            shares = size * rng.dirichlet(np.ones(size), draws)
            weights.append(shares[:, cluster] * np.asarray(batch.weight[job.row]))
            means.append(space.prior_mean + space.prior_sd * rng.standard_normal((draws, p)))
            warm.append(np.tile(space.to_x(found[job.name].theta), (draws, 1)))
        noise = np.array([found[j.name].noise for j in padded])
        data = _data(law, batch, padded, weigh)
        solution = descend(
            law,
            np.stack(warm),
            data,
            delta,
            noise,
            weights=np.stack(weights),
            prior_means=np.stack(means),
            max_iterations=60,
            tolerance=1e-6,
        )
        theta = np.einsum("bij,bwj->bwi", data.centre, solution.x)
        for i, job in enumerate(chunk):
            out[job.name] = theta[i]
    report("bootstrap", len(jobs), len(jobs))
    return out


def _assemble(
    law: Law,
    jobs: list[_Job],
    found: Mapping[str, Fit],
    resampled: Mapping[str, np.ndarray],
    failed: Mapping[str, tuple[int, str]],
    settings: Mapping[str, Any],
) -> Fits:
    best = [found[j.name] for j in jobs]
    p = len(law.names)
    r2, messages = [], []
    for job, solution in zip(jobs, best, strict=True):
        loss = np.exp(job.log_loss)
        predicted = loss * np.exp(solution.residual[: len(loss)])
        total = np.sum((loss - loss.mean()) ** 2)
        r2.append(1 - np.sum((predicted - loss) ** 2) / total if total > 0 else 0.0)
        told = list(job.messages)
        if not solution.converged:
            told.append("the fit stopped at its iteration limit; try more starts")
        told += _at_bounds(law, job, solution.theta)
        messages.append(tuple(told))
    return Fits(
        law=law,
        languages=tuple(j.name for j in jobs),
        theta=np.array([s.theta for s in best]).reshape(len(jobs), p),
        draws=np.array([resampled[j.name] for j in jobs]).reshape(len(jobs), -1, p)
        if jobs
        else np.empty((0, settings["draws"], p)),
        frozen=np.array([~j.free for j in jobs]).reshape(len(jobs), p),
        objective=np.array([float(s.misfit) for s in best]),
        r2=np.array(r2),
        n_runs=np.array([len(j.log_loss) for j in jobs], dtype=np.int64),
        converged=np.array([bool(s.converged) for s in best], dtype=bool),
        agreement=np.array([float(s.agreement) for s in best]),
        scopes=tuple(j.scope for j in jobs),
        messages=tuple(messages),
        failed=failed,
        settings=settings,
    )


def _at_bounds(law: Law, job: _Job, theta: np.ndarray) -> list[str]:
    """In words, the fitted coefficients that ended at a bound of their range."""
    low, high = law.theta_bounds()
    messages = []
    x = job.space(law).to_x(theta)
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    for i, c in enumerate(law.coefficients):
        if not job.free[i]:
            continue
        if c.name in terms:
            if x[i] < job.mean_log_loss + _VANISHED:
                messages.append(f"{c.name} vanishes: the runs show no sign of its term")
            continue
        slack = 1e-6 * (high[i] - low[i])
        for bound, side, at in (
            (c.bounds[0], "lower", theta[i] <= low[i] + slack),
            (c.bounds[1], "upper", theta[i] >= high[i] - slack),
        ):
            if at:
                messages.append(f"{c.name} ({c.meaning}) is at its {side} bound {bound:g}")
    return messages
