"""Best fits of languages that are fitted each by itself, and what their runs leave open."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._batching import take_rows
from .._progress import Progress
from ..laws import Law, LogSpaceLaw
from ._noise import noise_powers, noise_weights
from .engine import (
    CANDIDATES_PER_START,
    RIVALS,
    BestFits,
    Descents,
    FitData,
    delta_of_scatter,
    multi_start,
)
from .pooling import fit_data
from .problem import FitProblem, ParameterSpace, undetermined

_SCATTER_STARTS = 4  # of the rough fits that say how far the runs scatter
_BLOCK = 1024  # languages fitted together: their arrays stay near the cache


def fit_data_with_weak_prior(
    problem: FitProblem,
    space: ParameterSpace,
    prior: str,
    prior_weight: np.ndarray,
    delta: np.ndarray,
) -> FitData:
    """The problem as the solver takes it, with the weak prior or, if `prior` is "none", without.

    `prior_weight` (L,) is the misfit that counts as much as one unit of negative log prior density,
    `delta` (L,) that of the Huber loss.
    """
    count, p = problem.free.shape
    precision = np.zeros((count, p, p))
    if prior != "none":
        inverse = problem.free / np.maximum(space.prior_sd, 1e-9) ** 2
        precision[:, np.arange(p), np.arange(p)] = inverse
    return fit_data(problem, space, space.prior_mean, precision, prior_weight, delta)


def best_fits_of(
    descents: Descents, problem: FitProblem, settings: Mapping[str, Any], report: Progress
) -> BestFits:
    """The best fit of every language.

    What its runs turn out not to determine at the best fit is frozen in `problem`, and where that
    changes the fit it is made again.
    """
    law, total = descents.law, len(problem.languages)
    n, p = problem.log_loss.shape[1], len(law.names)
    each, per_run = (total,), (total, n)
    shapes = (total, p), each, each, each, each, each, per_run, (*per_run, p), (total, RIVALS, p)
    best_fits = BestFits(*(np.zeros(shape) for shape in shapes))
    left = np.arange(total)
    while len(left):
        report("fitting", total - len(left), total)
        rows, left = left[:_BLOCK], left[_BLOCK:]
        block = problem.take(rows)
        space = block.space(law)
        data = fit_data_with_weak_prior(
            block, space, settings["prior"], np.zeros(len(rows)), np.zeros(len(rows))
        )
        delta = (
            # Whatever the seed of the search: it must not change what is searched for.
            delta_of_scatter(descents, _candidates(block, space, _SCATTER_STARTS, 0), data)
            if settings["huber_delta"] is None
            else np.full(len(rows), settings["huber_delta"])
        )
        data = dataclasses.replace(data, delta=delta)
        candidates = _candidates(block, space, settings["starts"], settings["seed"])
        of_block = multi_start(descents, candidates, data, settings["starts"])
        for of_all, leaf in zip(best_fits, of_block, strict=True):
            of_all[rows] = leaf
        # Freezing removes at least one coefficient each time round, so this ends.
        left = np.concatenate([left, rows[_freeze(law, problem, rows, space, of_block)]])
    report("fitting", total, total)
    return best_fits


def weigh_by_noise(
    descents: Descents,
    problem: FitProblem,
    best_fits: BestFits,
    settings: Mapping[str, Any],
    report: Progress,
) -> tuple[BestFits, np.ndarray, np.ndarray]:
    """Best fits in which runs count by their noise where it is uneven; powers and middles (L, 2).

    See `noise_powers`. The weights in `problem` are changed where there are such languages.
    """
    fitted = np.isfinite(best_fits.misfit)[:, None]
    used = problem.weight > 0
    powers, middle = noise_powers(problem.recipe, best_fits.residual, used & fitted)
    rows = np.flatnonzero(powers.any(axis=1))
    if not len(rows):
        return best_fits, powers, middle
    problem.weight = problem.weight.copy()
    for i in rows.tolist():
        recipe = take_rows(problem.recipe, (i, used[i]))
        problem.weight[i, used[i]] *= noise_weights(recipe, powers[i], middle[i])
        named = zip(("epochs", "target ratio"), powers[i].tolist(), strict=True)
        shown = " and ".join(f"{name}^{power:.2f}" for name, power in named if power)
        problem.messages[i].append(f"the runs' noise goes with {shown}: they count by it")
    block = problem.take(rows)
    again = best_fits_of(descents, block, settings, report)
    problem.free[rows], problem.held[rows] = block.free, block.held
    for place, row in enumerate(rows.tolist()):
        problem.messages[row] = block.messages[place]
    for of_all, leaf in zip(best_fits, again, strict=True):
        of_all[rows] = leaf
    return best_fits, powers, middle


def _candidates(problem: FitProblem, space: ParameterSpace, starts: int, seed: int) -> np.ndarray:
    """What descents may start from, (L, C, p): the same shares of each range in every language."""
    rng = np.random.default_rng([seed, 0])
    candidates = space.draw(CANDIDATES_PER_START * starts, rng)
    return np.where(problem.free[:, None], candidates, space.to_x(problem.held)[:, None])


def _freeze(
    law: Law, problem: FitProblem, rows: np.ndarray, space: ParameterSpace, best_fits: BestFits
) -> np.ndarray:
    """Freeze what the runs do not determine at the optimum; which of `rows` need a refit.

    A coefficient is idle where its column of the Jacobian vanishes, redundant where the columns of
    earlier coefficients span it: see `undetermined`.
    """
    free = problem.free[rows]
    inside = (best_fits.x > space.lower) & (best_fits.x < space.upper) & free
    inside &= np.isfinite(best_fits.misfit)[:, None]
    idle, redundant = undetermined(best_fits.jacobian, inside)
    theta = np.einsum("lij,lj->li", space.centre, best_fits.x)
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
    # What is held is held as quoted: without an amplitude that moved, the others that share its
    # exponents are quoted elsewhere, and x would mean other coefficients.
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    amplitude = np.array([name in terms for name in law.names])
    return np.asarray((redundant | (idle & amplitude)).any(axis=1))


def without_unfitted(
    problem: FitProblem, best_fits: BestFits, failed: dict[str, tuple[int, str]]
) -> tuple[FitProblem, BestFits]:
    """The languages with a finite fit; the others join `failed`, with the reason."""
    fitted = np.isfinite(best_fits.misfit)
    for i in np.flatnonzero(~fitted):
        failed[problem.languages[i]] = (
            int(problem.mask[i].sum()),
            "no start gave a finite loss; check the law's start ranges",
        )
    rows = np.flatnonzero(fitted)
    return problem.take(rows), BestFits(*(leaf[rows] for leaf in best_fits))
