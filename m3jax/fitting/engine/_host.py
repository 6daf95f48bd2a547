"""Levenberg–Marquardt from Python, for a few fits of many laws.

The engine for many languages (`_solver`) compiles a whole descent, which pays where there are
hundreds of fits and takes longer than everything else where there are a few. Here losses and their
Jacobian alone are compiled, which is tens of times sooner done, and NumPy makes the same steps, in
float64 throughout. Fits go on side by side: `data` and x have a leading axis of B fits.
"""

from __future__ import annotations

import dataclasses
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from ..._batching import take_rows
from ...laws import Law, LogSpaceLaw
from ...recipe import Array, Recipe
from ._amplitudes import amplitude_indices, best_log_amplitudes
from ._objective import FitData, dispersion, evaluate_residuals, huber
from ._search import BestFits
from ._step import Evaluation, Solution, StepControl, advance, first_state

_SCREEN, _FINISH = 30, 300  # iterations
_SETTLED = 1e-4  # relative gain at which screening stops
# Descents come from rough starts, and elimination with pivoting takes worse conditioned systems
# than Cholesky's factorisation.
_FIRST_DAMPING, _LEAST_DAMPING = 1e-3, 1e-12


@cache
def _compiled(law: Law) -> Any:
    """Log losses (B, n) of `law` at theta (B, p) and their derivatives (B, n, p)."""

    def log_loss(theta: Array, recipe: Recipe) -> tuple[Array, Array]:
        return jax.value_and_grad(law.log_loss_theta)(theta, recipe)

    return jax.jit(jax.vmap(jax.vmap(log_loss, in_axes=(None, 0))))


def _residuals_and_jacobian(
    law: Law, x: np.ndarray, data: FitData
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (B, n) at x (B, p), zero on padding, and their Jacobian in x, (B, p, n)."""
    theta = np.einsum("bij,bj->bi", data.centre, x)
    predicted, slope = (np.asarray(leaf) for leaf in _compiled(law)(theta, data.recipe))
    residual = np.where(data.weight > 0, predicted - data.log_loss, 0.0)
    jacobian = np.swapaxes(slope @ data.centre, 1, 2)
    return residual, np.where(data.weight[:, None] > 0, jacobian, 0.0)


def _control(tolerance: float) -> StepControl:
    return StepControl(tolerance, _FIRST_DAMPING, _LEAST_DAMPING)


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrix, right[..., None])[..., 0]


def minimise_on_host(
    law: Law,
    start: np.ndarray,
    data: FitData,
    delta: float,
    *,
    max_iterations: int,
    control: StepControl,
) -> Solution:
    """`minimise` from `start` (B, p) for B fits, each of which stops where it is done."""

    def evaluate(x: np.ndarray) -> Evaluation:
        return evaluate_residuals(*_residuals_and_jacobian(law, x, data), x, data, delta, np)

    with np.errstate(all="ignore"):  # what is not finite is refused
        state = first_state(start, data.box, control, np)
        for _ in range(max_iterations):
            evaluation = evaluate(state.trial)
            new = advance(state, evaluation, data.box, control, solve=_solve, xp=np)
            state = jax.tree.map(partial(_unless, state.done), state, new)
            if state.done.all():
                break
    return Solution.of(state)


def _unless(done: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """New leaves (B, ...), but old ones of the fits that are done (B,)."""
    return np.where(done.reshape(-1, *[1] * (new.ndim - 1)), old, new)


def _with_best_amplitudes(
    law: Law, x: np.ndarray, data: FitData, delta: float
) -> tuple[np.ndarray, np.ndarray]:
    """x (B, p) with the free amplitudes that fit best given the rest, and its misfit (B,).

    A term's share of the loss is the derivative of the log loss in its log amplitude, so the terms
    can be read off the Jacobian. Of laws whose terms are not simply added, x as it is.
    """
    with np.errstate(all="ignore"):
        residual, jacobian = _residuals_and_jacobian(law, x, data)
        if isinstance(law, LogSpaceLaw) and law.combine is None:
            at = amplitude_indices(law)
            share = np.exp(np.minimum(residual, 50.0))[:, None] * np.maximum(jacobian[:, at], 0.0)
            share = np.where(np.isfinite(share), share, 0.0)  # of the measured loss, (B, t, n)
            log = best_log_amplitudes(share, x[:, at], data.free[:, at], data, np)
            log = np.where(
                data.free[:, at], np.clip(log, data.lower[:, at], data.upper[:, at]), x[:, at]
            )
            factor = np.exp(np.minimum(log - x[:, at], 300.0))
            fitted = np.sum(share * factor[..., None], axis=1)
            residual = np.where(data.weight > 0, np.log(fitted), 0.0)
            x = x.copy()
            x[:, at] = log
        misfit = _misfit(residual, data, delta)
    return x, np.where(np.isfinite(misfit), misfit, np.inf)


def _misfit(residual: np.ndarray, data: FitData, delta: float) -> np.ndarray:
    return np.sum(data.weight * huber(residual, delta, np), axis=1)


def multi_start_on_host(
    law: Law, candidates: np.ndarray, data: FitData, delta: float, starts: int, tolerance: float
) -> BestFits:
    """`multi_start` for a few languages: (L, C, p) candidates, of which `starts` are followed.

    As there, the misfit of the best descents tells what the prior weighs.
    """
    count, many, p = candidates.shape
    language = np.repeat(np.arange(count), starts)
    first = np.arange(count) * starts  # descent of each language
    bare = dataclasses.replace(data, prior_weight=np.zeros(count))
    descents = take_rows(bare, language)
    # As many at a time as there are descents: one shape to compile.
    groups = -(-many // starts)
    padded = candidates[:, np.minimum(np.arange(groups * starts), many - 1)]
    parts = [
        _with_best_amplitudes(law, group.reshape(-1, p), descents, delta)
        for group in np.split(padded, groups, axis=1)
    ]
    x = np.concatenate([x.reshape(count, starts, p) for x, _ in parts], axis=1)
    value = np.concatenate([v.reshape(count, starts) for _, v in parts], axis=1)
    order = np.argsort(value[:, :many], axis=1, kind="stable")[:, :starts]
    begin = np.take_along_axis(x, order[..., None], axis=1).reshape(-1, p)

    prior_weight = np.zeros(count)
    if np.any(data.prior_precision):
        screened = minimise_on_host(
            law, begin, descents, delta, max_iterations=_SCREEN, control=_control(_SETTLED)
        )
        begin, value = screened.x, screened.value.reshape(count, starts)
        lowest = value.min(axis=1)
        prior_weight = np.where(np.isfinite(lowest), dispersion(lowest, data), 0.0)
        # A descent from the prior's mean takes the place of the worst descent.
        if starts > 1:
            mean = np.where(data.free, data.prior_mean, candidates[:, 0])
            from_prior, _ = _with_best_amplitudes(law, mean[language], descents, delta)
            worst = first + np.argmax(value, axis=1)
            begin[worst] = from_prior[worst]
        descents = dataclasses.replace(descents, prior_weight=prior_weight[language])
    end = minimise_on_host(
        law, begin, descents, delta, max_iterations=_FINISH, control=_control(tolerance)
    )
    value = end.value.reshape(count, starts)
    best = first + np.argmin(value, axis=1)
    residual, jacobian = (leaf[best] for leaf in _residuals_and_jacobian(law, end.x, descents))
    misfit = np.where(np.isfinite(value.min(axis=1)), _misfit(residual, data, delta), np.inf)
    return BestFits(
        end.x[best],
        misfit,
        prior_weight,
        end.converged[best],
        np.mean(value <= 1.001 * value.min(axis=1, keepdims=True), axis=1),
        residual,
        np.swapaxes(jacobian, 1, 2),
    )
