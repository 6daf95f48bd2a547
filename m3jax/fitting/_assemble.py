"""From best fits in the solver's variables to `Fits` in the law's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from ..computing import in_double_precision
from ._beyond import edges_of, edges_of_scope
from ._fits import Fits
from ._messages import at_bounds
from .calibration import Calibration, Noise
from .diagnosis import grades
from .pooling import Population
from .problem import FitProblem
from .uncertainty import FittedProblem, Linearised


def assemble(
    fitted: FittedProblem,
    draws: np.ndarray,
    calibration: Calibration,
    noise: Noise,
    failed: Mapping[str, tuple[int, str]],
    population: Population | None = None,
) -> Fits:
    """The result of a fit, from its best fits and their draws of theta (L, B, p).

    `calibration` is what the draws were made with, `noise` that of the runs.
    """
    law, problem, space = fitted.descents.law, fitted.problem, fitted.space
    best_fits, data = fitted.best_fits, fitted.data
    x = np.where(problem.free, best_fits.x, space.to_x(problem.held))
    theta = np.einsum("lij,lj->li", space.centre, x)
    theta = np.where(problem.free, theta, problem.held)
    # The prior is told in theta: the solver's variables depend on the runs.
    expected = np.where(problem.free, data.prior_mean, x)
    inverse = np.linalg.inv(space.centre)
    converged = best_fits.converged.astype(bool)
    messages = at_bounds(law, problem, x)
    for i in np.flatnonzero(~converged):
        messages[i].insert(0, "the fit stopped at its iteration limit; try more starts")

    def grading() -> tuple[str, ...]:
        with in_double_precision():
            return grades(fits, _linearised(fitted))

    fits = Fits(
        law=law,
        languages=problem.languages,
        theta=theta,
        draws=np.where(problem.free[:, None], draws, problem.held[:, None]),
        bends=calibration.bends,
        edges=_edges(problem),
        frozen=~problem.free,
        objective=best_fits.misfit,
        r2=_explained(fitted),
        n_runs=problem.mask.sum(axis=1),
        converged=converged,
        grading=grading,
        agreement=best_fits.agreement,
        huber_delta=np.asarray(data.delta, dtype=np.float64),
        noise=noise.sd,
        noise_powers=noise.powers,
        noise_middle=noise.middle,
        widening=calibration.widening.mean(axis=1) if draws.shape[1] else np.ones(len(theta)),
        prior_mean=np.einsum("lij,lj->li", space.centre, expected),
        prior_precision=np.swapaxes(inverse, 1, 2) @ data.prior_precision @ inverse,
        prior_weight=np.asarray(data.prior_weight, dtype=np.float64),
        scopes=tuple(problem.scopes),
        messages=tuple(
            tuple(known + further)
            for known, further in zip(problem.messages, messages, strict=True)
        ),
        failed=failed,
        settings=fitted.settings,
        population=population,
    )
    return fits


def _edges(problem: FitProblem) -> np.ndarray:
    """Where powers begin to bend, (L, 2, 5): beyond the runs of a language.

    Where these are few and a prior on all coefficients together decides, beyond what that rests on:
    how laws differ from table to table is in it already.
    """
    edges = edges_of(problem.recipe, problem.mask)
    if problem.ground is not None:
        low, high = edges_of_scope(problem.ground)
        few = problem.few
        edges[few, 0] = np.minimum(edges[few, 0], low)
        edges[few, 1] = np.maximum(edges[few, 1], high)
    return edges


def _linearised(fitted: FittedProblem) -> Iterator[Linearised]:
    """Every best fit to first order, each around the middle of its own runs."""
    space = dataclasses.replace(fitted.problem, common=None).space(fitted.descents.law)
    for i in range(len(fitted.problem.languages)):
        yield fitted.linearised(i).recentred(space.take(i))


def _explained(fitted: FittedProblem) -> np.ndarray:
    """R² of the losses of each language, (L,): 1 − Σ(predicted − measured)² / Σ(measured − mean)².

    0 where the losses do not vary.
    """
    problem = fitted.problem
    loss = np.where(problem.mask, np.exp(problem.log_loss), 0.0)
    mean = loss.sum(axis=1) / np.maximum(problem.mask.sum(axis=1), 1)
    total = np.sum(np.where(problem.mask, loss - mean[:, None], 0.0) ** 2, axis=1)
    error = np.sum((loss * np.expm1(fitted.best_fits.residual)) ** 2, axis=1)
    explained: np.ndarray = np.where(total > 0, 1 - error / np.where(total > 0, total, 1.0), 0.0)
    return explained
