"""One Levenberg–Marquardt step within bounds, of any objective.

The step (Marquardt 1963) knows neither law nor loss: it is told the objective F, its gradient g and
a model B of its Hessian at a trial point, decides whether to take the point, and proposes the next.
It is written over an array namespace, `jax.numpy` for a loop that is compiled with the law
(`_solver`) and `numpy` for a loop in Python (`_host`). Every array may have leading batch axes,
written ... in shapes; fits of a batch do not touch each other.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ...recipe import Array
from ._linalg import matvec

_CURVATURE_RANGE = (0.25, 1.5)  # of the true curvature in units of the model's, see `advance`
_NEGLIGIBLE = 1e-18  # an objective of no interest: residuals of 1e-10
_TRUSTED_DAMPING = 1e-3  # at most
# Single precision cannot factor what is worse conditioned than this.
_LEAST_DAMPING = {"float64": 1e-10, "float32": 1e-6}
_MOST_DAMPING = 1e10


class Box(NamedTuple):
    """Bounds of the variables and which of them may move, (..., p) each."""

    lower: Array
    upper: Array
    free: Array


class StepControl(NamedTuple):
    """What steers a descent.

    Attributes:
        tolerance: relative gain below which it has converged.
        first_damping: λ at the start.
        least_damping: the least λ, and the least diagonal that variables are scaled by, relative to
            the largest.
        curvature_range: of κ, see `advance`.
    """

    tolerance: Array
    first_damping: Array
    least_damping: float
    curvature_range: tuple[float, float] = _CURVATURE_RANGE

    @classmethod
    def of(
        cls, tolerance: Array, dtype: np.dtype, *, exact: bool = False, xp: ModuleType = jnp
    ) -> StepControl:
        """The usual control for arrays of a type; `exact` where B is the Hessian itself."""
        range_ = (1.0, 1.0) if exact else _CURVATURE_RANGE
        control = cls(tolerance, _TRUSTED_DAMPING, _LEAST_DAMPING[dtype.name], range_)
        first = xp.minimum(1e3 * control.trusted_damping(xp), _TRUSTED_DAMPING)
        return control._replace(first_damping=first)

    def trusted_damping(self, xp: ModuleType = jnp) -> Array:
        """The λ up to which a step's promise is believed: it says little of weak directions."""
        return xp.clip(10 * self.tolerance, self.least_damping, _TRUSTED_DAMPING)


class Evaluation(NamedTuple):
    """An objective (...), its gradient (..., p) and a model of its Hessian (..., p, p)."""

    value: Array
    gradient: Array
    curvature: Array


class DescentState(NamedTuple):
    """Where a descent stands.

    Attributes:
        x: the best point so far, (..., p).
        current: the evaluation there; an infinite value before the first.
        trial: the point to be evaluated next, (..., p).
        step_slope: gᵀs of the step s = trial − x, (...).
        step_curvature: sᵀBs, (...).
        damping: λ, (...).
        curvature_scale: κ, the true curvature along steps in units of the model's, (...).
        iteration: evaluations used, (...).
        done, converged: whether the descent has ended, and whether at a minimum, (...).
    """

    x: Array
    current: Evaluation
    trial: Array
    step_slope: Array
    step_curvature: Array
    damping: Array
    curvature_scale: Array
    iteration: Array
    done: Array
    converged: Array


class Solution(NamedTuple):
    """Where a descent ended: x (..., p), objective, iterations used, whether it converged (...)."""

    x: Array
    value: Array
    iterations: Array
    converged: Array

    @classmethod
    def of(cls, state: DescentState) -> Solution:
        """The solution that a state holds."""
        return cls(state.x, state.current.value, state.iteration, state.converged)


def first_state(start: Array, box: Box, control: StepControl, xp: ModuleType = jnp) -> DescentState:
    """The state before anything is evaluated: `start` (..., p), moved into the bounds, is tried."""
    zero = xp.zeros(start.shape[:-1], start.dtype)
    start = xp.clip(start, box.lower, box.upper)
    identity = zero[..., None, None] + xp.eye(start.shape[-1], dtype=start.dtype)
    return DescentState(
        x=start,
        current=Evaluation(zero + xp.inf, xp.zeros_like(start), identity),
        trial=start,
        step_slope=zero,
        step_curvature=zero,
        damping=(zero + control.first_damping).astype(start.dtype),
        curvature_scale=zero + 1.0,
        iteration=xp.zeros(zero.shape, "int32"),
        done=xp.zeros(zero.shape, bool),
        converged=xp.zeros(zero.shape, bool),
    )


def advance(
    state: DescentState,
    evaluation: Evaluation,
    box: Box,
    control: StepControl,
    *,
    solve: Callable[[Array, Array], Array],
    xp: ModuleType = jnp,
) -> DescentState:
    """The state after one step, from the evaluation at `state.trial`.

    The model of the objective around x is m(s) = F + gᵀs + κ sᵀBs / 2. A step s has the gain ratio
    ϱ = (F(x) − F(x + s)) / (m(0) − m(s)); it is taken where F falls. The damping λ is multiplied
    by 2/5 where ϱ > 3/4, by 2 where ϱ < 1/4, and by 4 where the step is refused. The next one
    solves (κB + λ diag B) s = −g in the variables that are free and not active, that is, at a bound
    with the gradient pressing outwards, and is then cut to the bounds. The scale κ of the curvature
    is the one that would have foretold the last step, κ = 2 (F(x + s) − F(x) − gᵀs) / sᵀBs, within
    the control's range: robust objectives are modelled by reweighted squares, whose curvature is
    off by a factor. With the range (1, 1) B is taken as it is, as Newton's method does.

    Converged means that the decrement −gᵀs / 2, before s is cut to the bounds, is below the
    tolerance relative to F, at a small λ, or that F is as flat as the arithmetic can tell. A
    descent without a finite objective, or with a λ beyond all use, is done and has not converged.

    Args:
        solve: x (..., p) with matrix @ x = right, for positive definite (..., p, p) and (..., p).
            NaN is understood as indefinite: the step is not made and the damping grows.
    """
    state, flat = _judge(state, evaluation, control, xp)
    trial, decrement, solved = _propose(state, box, control, solve, xp)
    x, current = state.x, state.current
    step = trial - x
    trusted = solved & (state.damping <= control.trusted_damping(xp))
    stationary = trusted & (decrement <= control.tolerance * current.value + _NEGLIGIBLE)
    finite = xp.isfinite(current.value)
    return state._replace(
        trial=trial,
        step_slope=xp.vecdot(current.gradient, step),
        step_curvature=xp.vecdot(step, matvec(current.curvature, step)),
        iteration=state.iteration + 1,
        done=stationary | flat | ~finite | (state.damping >= _MOST_DAMPING),
        converged=(stationary | flat) & finite,
    )


def _judge(
    state: DescentState,
    evaluation: Evaluation,
    control: StepControl,
    xp: ModuleType,
) -> tuple[DescentState, Array]:
    """The state with its trial point taken or refused, and whether the objective is flat there."""
    current = state.current
    sound = xp.isfinite(evaluation.value) & xp.all(xp.isfinite(evaluation.gradient), axis=-1)
    value = xp.where(sound, evaluation.value, xp.inf)
    first = state.iteration == 0
    # Steps too small for the objective to tell are taken on the word of the gradient.
    limits = np.finfo(state.x.dtype)
    rounding = 2 * limits.eps * xp.abs(current.value)
    better = value < current.value + rounding
    gain = current.value - value
    predicted_gain = -(state.step_slope + 0.5 * state.curvature_scale * state.step_curvature)
    measurable = xp.abs(gain) > 40 * rounding
    gain_ratio = xp.where(measurable, gain / xp.maximum(predicted_gain, limits.tiny), 1.0)
    factor = xp.where(gain_ratio > 0.75, 0.4, xp.where(gain_ratio < 0.25, 2.0, 1.0))
    factor = xp.where(first, 1.0, xp.where(better, factor, 4.0))
    damping = xp.clip(state.damping * factor, control.least_damping, _MOST_DAMPING)
    damping = damping.astype(state.damping.dtype)
    scale = 2 * (value - current.value - state.step_slope) / state.step_curvature
    known = ~first & measurable & xp.isfinite(scale) & (state.step_curvature > 0)
    scale = xp.clip(scale, *control.curvature_range)
    judged = state._replace(
        x=xp.where(better[..., None], state.trial, state.x),
        current=Evaluation(
            xp.where(better, value, current.value),
            xp.where(better[..., None], evaluation.gradient, current.gradient),
            xp.where(better[..., None, None], evaluation.curvature, current.curvature),
        ),
        damping=damping,
        curvature_scale=xp.where(known, scale, state.curvature_scale),
    )
    return judged, ~better & (xp.abs(predicted_gain) <= control.tolerance * judged.current.value)


def _propose(
    state: DescentState,
    box: Box,
    control: StepControl,
    solve: Callable[[Array, Array], Array],
    xp: ModuleType,
) -> tuple[Array, Array, Array]:
    """The next trial point (..., p), the decrement (...) and whether the step exists (...)."""
    x, (_, gradient, curvature) = state.x, state.current
    active = ((x <= box.lower) & (gradient > 0)) | ((x >= box.upper) & (gradient < 0))
    moving = xp.where(box.free & ~active, 1.0, 0.0).astype(x.dtype)
    # In variables scaled to a unit diagonal; those that do not move have an equation of their own.
    diagonal = xp.abs(xp.diagonal(curvature, axis1=-2, axis2=-1))
    floor = control.least_damping * xp.max(diagonal, axis=-1) + np.finfo(x.dtype).tiny
    scale = moving / xp.sqrt(xp.maximum(diagonal, floor[..., None]))
    scaled = state.curvature_scale[..., None, None] * curvature * scale[..., None]
    scaled = scaled * scale[..., None, :]
    added = state.damping[..., None] + 1.0 - moving
    scaled = scaled + xp.where(np.eye(x.shape[-1], dtype=bool), added[..., None], 0.0)
    step = -scale * solve(scaled, gradient * scale)
    trial = xp.clip(x + step, box.lower, box.upper)
    solved = xp.all(xp.isfinite(trial), axis=-1)
    return xp.where(solved[..., None], trial, x), -0.5 * xp.vecdot(gradient, step), solved
