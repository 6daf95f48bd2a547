"""Levenberg–Marquardt compiled whole, for many fits: `vmap` makes the batch of one robust fit.

One evaluation of losses and Jacobian is made per iteration, at the trial point: it decides whether
the point is taken and is what the next step starts from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ...laws import Law
from ...recipe import Array
from ._amplitudes import with_best_amplitudes
from ._jacobian import feature_matrix, log_loss_and_jacobian
from ._linalg import solve_spd
from ._objective import (
    FitData,
    FitResiduals,
    Resample,
    evaluate_residuals,
    misfit,
    negative_log_prior,
    residuals,
)
from ._step import DescentState, Evaluation, Solution, StepControl, advance, first_state


def evaluate(law: Law, x: Array, data: FitData, features: Array | None) -> Evaluation:
    """The objective at x (p,) and the reweighted squares that stand for its curvature."""
    predicted, jacobian = log_loss_and_jacobian(law, x, data, features)
    residual = jnp.where(data.weight > 0, predicted - data.log_loss, 0.0)
    return evaluate_residuals(residual, jacobian, x, data)


def _evaluate_exactly(law: Law, x: Array, data: FitData) -> Evaluation:
    def objective(x: Array) -> Array:
        value = misfit(residuals(law, x, data), data)
        return value + data.prior_weight * negative_log_prior(x, data)

    value, gradient = jax.value_and_grad(objective)(x)
    return Evaluation(value, gradient, jax.hessian(objective)(x))


def minimise(
    law: Law,
    start: Array,
    data: FitData,
    *,
    max_iterations: Array,
    tolerance: Array,
    exact: bool = False,
) -> Solution:
    """Minimise the objective from `start` (p,) within the bounds of `data`, see `advance`.

    A start with a non-finite objective is returned unconverged with an infinite objective. `exact`
    takes the true Hessian: for the last mile of fits with directions that hardly matter.
    """
    control = StepControl.of(tolerance, start.dtype, exact=exact)
    features = feature_matrix(law, data)
    evaluate_at: Callable[[Array], Evaluation] = (
        partial(_evaluate_exactly, law, data=data)
        if exact
        else partial(evaluate, law, data=data, features=features)
    )

    def step(state: DescentState) -> DescentState:
        return advance(state, evaluate_at(state.trial), data.box, control, solve=solve_spd)

    def unfinished(state: DescentState) -> Array:
        return ~state.done & (state.iteration < max_iterations)

    state = first_state(start, data.box, control)
    return Solution.of(jax.lax.while_loop(unfinished, step, state))


def _cast_floats(tree: Any, precision: str) -> Any:
    """The floating leaves of a pytree in another precision."""

    def cast(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)
        return leaf.astype(precision) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def minimise_rows(
    law: Law,
    starts: Array,
    data: FitData,
    lane_data: Resample,
    free: Array,
    max_iterations: Array,
    tolerance: Array,
    *,
    precision: str,
    exact: bool,
) -> Solution:
    """`minimise` for rows of lanes, (R, K) fits: `starts` (R, K, p), `data` with leading axis R.

    `lane_data` and `free`, with leading axes (R, K), are what differs between lanes of a row.
    """

    def lane(start: Array, lane_data: Resample, free: Array, data: FitData) -> Solution:
        return minimise(
            law,
            start,
            dataclasses.replace(data, free=free, **lane_data._asdict()),
            max_iterations=max_iterations,
            tolerance=_cast_floats(tolerance, precision),
            exact=exact,
        )

    rows = jax.vmap(jax.vmap(lane, in_axes=(0, 0, 0, None)))
    return rows(
        _cast_floats(starts, precision),
        _cast_floats(lane_data, precision),
        free,
        _cast_floats(data, precision),
    )


def rank_candidates(law: Law, starts: Array, data: FitData) -> tuple[Array, Array]:
    """Candidates (R, K, p) with the best amplitudes, and their misfit (R, K), in float32."""

    def lane(x: Array, data: FitData) -> tuple[Array, Array]:
        features = feature_matrix(law, data)
        x = jnp.clip(with_best_amplitudes(law, x, data, features), data.lower, data.upper)
        value = misfit(residuals(law, x, data), data)
        return x, jnp.where(jnp.isfinite(value), value, jnp.inf)

    rows = jax.vmap(jax.vmap(lane, in_axes=(0, None)))
    return rows(_cast_floats(starts, "float32"), _cast_floats(data, "float32"))


def fit_residuals(law: Law, x: Array, data: FitData) -> FitResiduals:
    """Misfit, residuals and Jacobian of fits at x (R, p), in float64."""

    def row(x: Array, data: FitData) -> FitResiduals:
        predicted, jacobian = log_loss_and_jacobian(law, x, data, feature_matrix(law, data))
        residual = jnp.where(data.weight > 0, predicted - data.log_loss, 0.0)
        jacobian = jnp.where(data.weight > 0, jacobian, 0.0)
        return FitResiduals(misfit(residual, data), residual, jacobian.T)

    return jax.vmap(row)(x, data)
