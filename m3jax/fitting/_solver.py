"""Levenberg–Marquardt for one robust fit, with bounds; `vmap` makes the batch.

Two kinds of step share one loop. Far from the optimum the Huber loss is majorised by a weighted
square (weights δ/|e| beyond δ): Gauss–Newton on that always points downhill and is not misled by
the curvature of outliers, but converges only linearly. Close by, the exact Hessian of the objective
converges quadratically. So a fit first runs with the one, then polishes with the other.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve

from ..laws import Law
from ..recipe import Array
from ._objective import Data, misfit, noise_level, residuals, surprise

_DAMPING = (1e-10, 1e10)  # range of the damping parameter; at its top no step helps any more


class _State(NamedTuple):
    x: Array
    value: Array
    damping: Array
    iteration: Array
    done: Array
    converged: Array


class Solution(NamedTuple):
    """Solver variables (p,), objective, iterations used, whether it converged."""

    x: Array
    value: Array
    iterations: Array
    converged: Array


def minimise(
    law: Law,
    start: Array,
    data: Data,
    delta: Array,
    prior_weight: Array,
    *,
    max_iterations: Array,
    tolerance: Array,
    exact_hessian: bool = False,
) -> Solution:
    """Minimise misfit + prior_weight · surprise from `start` (p,) within the bounds of `data`.

    Converged means that an undamped step promises a relative gain below `tolerance`.
    A start with a non-finite objective is returned unconverged with an infinite objective.
    """

    def objective(x: Array) -> Array:
        return misfit(law, x, data, delta) + prior_weight * surprise(x, data)

    def value_of(x: Array) -> Array:
        value = objective(x)
        return jnp.where(jnp.isfinite(value), value, jnp.inf)

    def step(state: _State) -> _State:
        x = state.x
        e = residuals(law, x, data)
        jacobian = jax.jacfwd(lambda x: residuals(law, x, data))(x)
        pull = prior_weight * data.prior_precision
        gradient = jacobian.T @ (data.weight * jnp.clip(e, -delta, delta))
        gradient = gradient + pull * (x - data.prior_mean)
        majoriser = data.weight * delta / jnp.maximum(jnp.abs(e), delta)
        gauss = (jacobian.T * majoriser) @ jacobian + jnp.diag(pull)
        hessian = jax.hessian(objective)(x) if exact_hessian else gauss

        # Variables pressed against a bound, or not the fit's to move, sit this step out.
        pressed = ((x <= data.lower) & (gradient > 0)) | ((x >= data.upper) & (gradient < 0))
        moving = jnp.where(data.free & ~pressed, 1.0, 0.0)
        diagonal = jnp.diagonal(gauss)
        floor = 1e-10 * jnp.max(diagonal) + jnp.finfo(x.dtype).tiny
        scale = moving / jnp.sqrt(jnp.maximum(diagonal, floor))
        scaled_gradient = gradient * scale
        scaled_hessian = hessian * scale[:, None] * scale[None, :]
        # Where the damped Hessian is indefinite the factor is NaN: the step is refused and damping
        # grows.
        eye = jnp.eye(x.shape[0], dtype=x.dtype)
        factor = jnp.linalg.cholesky(
            scaled_hessian + state.damping * eye + jnp.diag(1.0 - moving).astype(x.dtype)
        )
        move = -cho_solve((factor, True), scaled_gradient)
        trial = jnp.clip(x + scale * move, data.lower, data.upper)
        trial = jnp.where(jnp.all(jnp.isfinite(trial)), trial, x)
        moved = jnp.where(scale > 0, (trial - x) / jnp.where(scale > 0, scale, 1.0), 0.0)

        promised = -(scaled_gradient @ moved + 0.5 * moved @ scaled_hessian @ moved)
        value = value_of(trial)
        better = value < state.value
        ratio = (state.value - value) / jnp.maximum(promised, jnp.finfo(x.dtype).tiny)
        factor_of = jnp.where(ratio > 0.75, 0.2, jnp.where(ratio < 0.25, 2.0, 1.0))
        damping = jnp.clip(state.damping * jnp.where(better, factor_of, 4.0), *_DAMPING)

        # What a full step could still gain, in units of the objective.
        stationary = jnp.max(jnp.abs(scaled_gradient)) ** 2 <= tolerance * state.value
        little = better & (state.value - value <= tolerance * state.value) & (damping < 1.0)
        stuck = ~better & (damping >= _DAMPING[1])
        return _State(
            x=jnp.where(better, trial, x),
            value=jnp.where(better, value, state.value),
            damping=damping,
            iteration=state.iteration + 1,
            done=stationary | little | stuck,
            converged=stationary | little,
        )

    start = jnp.clip(start, data.lower, data.upper)
    value = value_of(start)
    state = _State(
        x=start,
        value=value,
        damping=jnp.asarray(1e-2, start.dtype),
        iteration=jnp.asarray(0),
        done=~jnp.isfinite(value),
        converged=jnp.asarray(False),
    )
    state = jax.lax.while_loop(lambda s: ~s.done & (s.iteration < max_iterations), step, state)
    return Solution(state.x, state.value, state.iteration, state.converged)


class Fit(NamedTuple):
    """The best of many starts; a batch has a leading axis on every leaf.

    Attributes:
        x: solver variables, (p,).
        theta: the coefficients they stand for, (p,).
        misfit: sum of Huber losses there, without the prior, ().
        noise: what the prior was weighted by, ().
        converged: () bool.
        agreement: share of the polished starts that ended within 0.1% of the best, ().
        residual: predicted minus measured log loss, (n,).
        jacobian: of the residuals, (n, p).
    """

    x: Array
    theta: Array
    misfit: Array
    noise: Array
    converged: Array
    agreement: Array
    residual: Array
    jacobian: Array


@partial(jax.jit, static_argnames="law")
def _descend(
    law: Law,
    starts: Array,
    data: Data,
    weights: Array,
    prior_means: Array,
    delta: Array,
    noise: Array,
    max_iterations: Array,
    tolerance: Array,
) -> Solution:
    """`minimise` for (B, K): fits B, and K starts, run weights and prior means for each."""

    def one(start: Array, data: Data, weight: Array, prior_mean: Array, noise: Array) -> Solution:
        data = Data(**{**vars(data), "weight": weight, "prior_mean": prior_mean})
        return minimise(
            law, start, data, delta, noise, max_iterations=max_iterations, tolerance=tolerance
        )

    inner = jax.vmap(one, in_axes=(0, None, 0, 0, None))
    return jax.vmap(inner)(starts, data, weights, prior_means, noise)


_GROUP = 16  # starts or draws in one call: one compiled shape serves any number of either


def descend(
    law: Law,
    starts: np.ndarray,
    data: Data,
    delta: float,
    noise: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    prior_means: np.ndarray | None = None,
    max_iterations: int,
    tolerance: float,
) -> Solution:
    """Run `minimise` from `starts` (B, S, p); `data` has a leading axis B, `noise` is (B,).

    `weights` (B, S, n) and `prior_means` (B, S, p) replace those of the data. Returns NumPy leaves
    (B, S, ...).
    """
    count, parts = starts.shape[1], []
    for begin in range(0, count, _GROUP):
        rows = np.minimum(np.arange(begin, begin + _GROUP), count - 1)
        shape = (len(starts), _GROUP)
        weight = np.broadcast_to(data.weight[:, None], (*shape, data.weight.shape[-1]))
        mean = np.broadcast_to(data.prior_mean[:, None], (*shape, starts.shape[-1]))
        part = _descend(
            law,
            starts[:, rows],
            data,
            weight if weights is None else weights[:, rows],
            mean if prior_means is None else prior_means[:, rows],
            delta,
            noise,
            max_iterations,
            tolerance,
        )
        keep = min(_GROUP, count - begin)
        parts.append(jax.tree.map(lambda leaf, keep=keep: np.asarray(leaf)[:, :keep], part))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)


@partial(jax.jit, static_argnames="law")
def _polish(law: Law, x: Array, data: Data, delta: Array, noise: Array) -> Fit:
    """Newton's method from points (B, K, p) that are close already; the best of each K."""

    def one(x: Array, data: Data, noise: Array) -> Fit:
        newton = partial(minimise, law, data=data, delta=delta, prior_weight=noise)
        ends = jax.vmap(
            lambda x: newton(x, max_iterations=200, tolerance=1e-13, exact_hessian=True)
        )(x)
        end = jax.tree.map(lambda leaf: leaf[jnp.argmin(ends.value)], ends)
        return Fit(
            x=end.x,
            theta=data.centre @ end.x,
            misfit=misfit(law, end.x, data, delta),
            noise=noise,
            converged=end.converged,
            agreement=jnp.mean(ends.value <= end.value * 1.001),
            residual=residuals(law, end.x, data),
            jacobian=jax.jacfwd(lambda x: residuals(law, x, data))(end.x),
        )

    return jax.vmap(one)(x, data, noise)


_SCREEN, _POLISHED = 40, 4


def multi_start(law: Law, starts: np.ndarray, data: Data, delta: float) -> Fit:
    """Best fits of a batch: `starts` (B, S, p), `data` with leading axis B, as the result has.

    Every start gets a few cheap iterations without the prior, which tell the noise level and so
    what the prior weighs. The best go on towards convergence, and the best of those are polished
    with the exact Hessian.
    """
    none = np.zeros(len(starts))
    screened = descend(law, starts, data, delta, none, max_iterations=_SCREEN, tolerance=1e-9)
    lowest = screened.value.min(axis=1)
    noise = np.where(np.isfinite(lowest), noise_level(lowest, data), 0.0)
    begin = _lowest(screened, _GROUP)
    kept = descend(law, begin, data, delta, noise, max_iterations=200, tolerance=1e-9)
    polished = _polish(law, _lowest(kept, _POLISHED), data, delta, noise)
    return jax.tree.map(np.asarray, polished)


def _lowest(solutions: Solution, count: int) -> np.ndarray:
    """The `count` best points (B, count, p) of solutions (B, S); fewer where S is less."""
    order = np.argsort(solutions.value, axis=1)[:, :count]
    return np.take_along_axis(solutions.x, order[..., None], axis=1)
