"""Levenberg–Marquardt for one robust fit, with bounds; `vmap` makes the batch.

The Huber loss is handled as a reweighted square. The weights of the textbook, δ/|e| beyond δ, bound
the loss from above and converge slowly where most residuals exceed δ: the curvature they claim is
about twice the true one. Here the weights are (δ/|e|)^1.5, and how far the objective's curvature is
from theirs is learnt from each step, as one number. That halves the iterations.

One evaluation of losses and Jacobian is made per iteration, at the trial point: it decides whether
the point is taken and is what the next step starts from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...laws import Law
from ...recipe import Array
from ._cholesky import solve_spd
from ._jacobian import columns, log_loss_and_jacobian, with_best_amplitudes
from ._objective import FitData, Resample, huber, misfit, surprise

_STIFFNESS = (0.25, 1.5)  # range of the true curvature in units of the reweighted square's
_TINY = 1e-18  # an objective of no interest: residuals of 1e-10
_DAMPING = 1e-3  # at the start, at most


class Point(NamedTuple):
    """The objective (), its gradient (p,) and a model of its Hessian (p, p) somewhere."""

    value: Array
    gradient: Array
    curvature: Array


class _State(NamedTuple):
    x: Array
    at: Point
    trial: Array
    slope: Array  # gradient · step to the trial
    bend: Array  # step · curvature · step
    damping: Array
    stiffness: Array
    iteration: Array
    done: Array
    converged: Array


class Solution(NamedTuple):
    """Solver variables (p,), objective, iterations used, whether it converged."""

    x: Array
    value: Array
    iterations: Array
    converged: Array


class FitResiduals(NamedTuple):
    """A fit seen from where it ended.

    Attributes:
        misfit: sum of Huber losses, without the prior, ().
        residual: predicted minus measured log loss, (n,), zero on padding.
        jacobian: of the log loss in the solver's variables, (n, p).
    """

    misfit: Array
    residual: Array
    jacobian: Array


def evaluate(law: Law, x: Array, data: FitData, cols: Array | None, delta: Array) -> Point:
    """The objective at x and the reweighted square that stands for its curvature."""
    predicted, jacobian = log_loss_and_jacobian(law, x, data, cols)
    e = jnp.where(data.weight > 0, predicted - data.log_loss, 0.0)
    closeness = delta / jnp.maximum(jnp.abs(e), delta)
    root = jnp.sqrt(data.weight * closeness * jnp.sqrt(closeness))
    rows = jacobian * root
    # Where the weight is zero so is the pull: 0 / 1.
    pull = data.weight * jnp.clip(e, -delta, delta) / jnp.where(root > 0, root, 1.0)
    precision = data.prior_weight * data.prior_precision
    return Point(
        jnp.sum(data.weight * huber(e, delta)) + data.prior_weight * surprise(x, data),
        rows @ pull + precision @ (x - data.prior_mean),
        rows @ rows.T + precision,
    )


def _evaluate_exactly(law: Law, x: Array, data: FitData, delta: Array) -> Point:
    def objective(x: Array) -> Array:
        return misfit(law, x, data, delta) + data.prior_weight * surprise(x, data)

    value, gradient = jax.value_and_grad(objective)(x)
    return Point(value, gradient, jax.hessian(objective)(x))


def minimise(
    law: Law,
    start: Array,
    data: FitData,
    delta: Array,
    *,
    max_iterations: Array,
    tolerance: Array,
    exact: bool = False,
) -> Solution:
    """Minimise misfit + noise · surprise from `start` (p,) within the bounds of `data`.

    Converged means that a full step promises a relative gain below `tolerance`. A start with a
    non-finite objective is returned unconverged with an infinite objective. `exact` takes the true
    Hessian: for the last mile of fits with directions that hardly matter.
    """
    dtype = start.dtype
    eye = jnp.eye(start.shape[0], dtype=dtype)
    # Single precision cannot factor what is worse conditioned than this.
    least, most = (1e-10 if dtype == jnp.float64 else 1e-6), 1e10
    # What a damped step promises says little of weak directions: to be trusted on the last digits
    # the damping must be small too.
    steady = jnp.clip(10 * tolerance, least, _DAMPING)
    cols = columns(law, data)
    evaluate_at: Callable[[Array], Point] = (
        partial(_evaluate_exactly, law, data=data, delta=delta)
        if exact
        else partial(evaluate, law, data=data, cols=cols, delta=delta)
    )
    stiffness_range = (1.0, 1.0) if exact else _STIFFNESS

    def step(state: _State) -> _State:
        new = evaluate_at(state.trial)
        sound = jnp.isfinite(new.value) & jnp.all(jnp.isfinite(new.gradient))
        value = jnp.where(sound, new.value, jnp.inf)
        first = state.iteration == 0
        # Steps too small for the objective to tell are taken on the word of the gradient.
        rounding = 2 * jnp.finfo(dtype).eps * jnp.abs(state.at.value)
        better = value < state.at.value + rounding
        gain = state.at.value - value
        promised = -(state.slope + 0.5 * state.stiffness * state.bend)
        ratio = gain / jnp.maximum(promised, jnp.finfo(dtype).tiny)
        telling = jnp.abs(gain) > 40 * rounding
        ratio = jnp.where(telling, ratio, 1.0)
        by = jnp.where(ratio > 0.75, 0.2, jnp.where(ratio < 0.25, 2.0, 1.0))
        by = jnp.where(first, 1.0, jnp.where(better, by, 4.0))
        damping = jnp.clip(state.damping * by, least, most)
        felt = 2 * (value - state.at.value - state.slope) / state.bend
        known = ~first & telling & jnp.isfinite(felt) & (state.bend > 0)
        stiffness = jnp.where(known, jnp.clip(felt, *stiffness_range), state.stiffness)

        x = jnp.where(better, state.trial, state.x)
        at = jax.tree.map(
            lambda a, b: jnp.where(better, a, b),
            Point(value, new.gradient, new.curvature),
            state.at,
        )

        # Variables pressed against a bound, or not the fit's to move, sit this step out.
        gradient = at.gradient
        pressed = ((x <= data.lower) & (gradient > 0)) | ((x >= data.upper) & (gradient < 0))
        moving = jnp.where(data.free & ~pressed, 1.0, 0.0).astype(dtype)
        diagonal = jnp.abs(jnp.diagonal(at.curvature))
        floor = least * jnp.max(diagonal) + jnp.finfo(dtype).tiny
        scale = moving / jnp.sqrt(jnp.maximum(diagonal, floor))
        scaled = stiffness * at.curvature * scale[:, None] * scale
        # NaN where the damped matrix is indefinite: the step is refused and damping grows.
        move = -scale * solve_spd(scaled + jnp.diag(damping + 1.0 - moving), gradient * scale)
        decrement = -0.5 * (gradient @ move)  # what the step promises before bounds cut it short
        trial = jnp.clip(x + move, data.lower, data.upper)
        solved = jnp.all(jnp.isfinite(trial))
        trial = jnp.where(solved, trial, x)
        move = trial - x
        slope = gradient @ move
        bend = move @ (at.curvature @ move)

        stationary = solved & (decrement <= tolerance * at.value + _TINY) & (damping <= steady)
        # As flat as the arithmetic can tell.
        level = ~better & (jnp.abs(promised) <= tolerance * at.value)
        lost = ~jnp.isfinite(at.value) | (damping >= most)
        return _State(
            x=x,
            at=at,
            trial=trial,
            slope=slope,
            bend=bend,
            damping=damping,
            stiffness=stiffness,
            iteration=state.iteration + 1,
            done=stationary | level | lost,
            converged=stationary | level,
        )

    start = jnp.clip(start, data.lower, data.upper)
    zero = jnp.zeros((), dtype)
    state = _State(
        x=start,
        at=Point(zero + jnp.inf, jnp.zeros_like(start), eye),
        trial=start,
        slope=zero,
        bend=zero,
        damping=jnp.minimum(1e3 * steady, _DAMPING).astype(dtype),
        stiffness=zero + 1.0,
        iteration=jnp.zeros((), jnp.int32),
        done=jnp.zeros((), bool),
        converged=jnp.zeros((), bool),
    )
    state = jax.lax.while_loop(lambda s: ~s.done & (s.iteration < max_iterations), step, state)
    return Solution(state.x, state.at.value, state.iteration, state.converged)


def _cast(tree: Any, precision: str) -> Any:
    """The floating leaves of a pytree in another precision."""

    def cast(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)
        return leaf.astype(precision) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def descend(
    law: Law,
    starts: Array,
    data: FitData,
    drawn: Resample,
    delta: Array,
    max_iterations: Array,
    tolerance: Array,
    *,
    precision: str,
    exact: bool,
) -> Solution:
    """`minimise` for rows of lanes, (R, K) fits: `starts` (R, K, p), `data` with leading axis R.

    `drawn`, with leading axes (R, K), replaces what differs between lanes of a row.
    """

    def lane(start: Array, drawn: Resample, data: FitData) -> Solution:
        return minimise(
            law,
            start,
            dataclasses.replace(data, **drawn._asdict()),
            _cast(delta, precision),
            max_iterations=max_iterations,
            tolerance=_cast(tolerance, precision),
            exact=exact,
        )

    rows = jax.vmap(jax.vmap(lane, in_axes=(0, 0, None)))
    return rows(_cast(starts, precision), _cast(drawn, precision), _cast(data, precision))


def rank(law: Law, starts: Array, data: FitData, delta: Array) -> tuple[Array, Array]:
    """Candidates (R, K, p) with the best amplitudes, and their misfit (R, K), in float32."""

    def lane(x: Array, data: FitData) -> tuple[Array, Array]:
        cols = columns(law, data)
        x = jnp.clip(with_best_amplitudes(law, x, data, cols), data.lower, data.upper)
        value = misfit(law, x, data, _cast(delta, "float32"))
        return x, jnp.where(jnp.isfinite(value), value, jnp.inf)

    rows = jax.vmap(jax.vmap(lane, in_axes=(0, None)))
    return rows(_cast(starts, "float32"), _cast(data, "float32"))


def look(law: Law, x: Array, data: FitData, delta: Array) -> FitResiduals:
    """What there is to know at x (R, p), in float64."""

    def one(x: Array, data: FitData) -> FitResiduals:
        predicted, jacobian = log_loss_and_jacobian(law, x, data, columns(law, data))
        residual = jnp.where(data.weight > 0, predicted - data.log_loss, 0.0)
        jacobian = jnp.where(data.weight > 0, jacobian, 0.0)
        return FitResiduals(jnp.sum(data.weight * huber(residual, delta)), residual, jacobian.T)

    return jax.vmap(one)(x, data)
