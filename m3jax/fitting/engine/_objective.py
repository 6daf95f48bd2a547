"""The fit's objective: Huber loss of log residuals, weighted and summed, and a prior.

    F(x) = Σ weight · H_δ(e(x)) + prior_weight · (x − m)ᵀ P (x − m) / 2,   e = log L̂(x) − log L

Functions that take `xp`, `jax.numpy` or `numpy`, allow leading batch axes, written ... in shapes.
"""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...laws import Law
from ...recipe import Array, Recipe
from ._linalg import matvec
from ._step import Box, Evaluation


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FitData:
    """What one fit sees; a batch of fits has a leading axis on every leaf.

    Attributes:
        recipe: leaves of shape (n,).
        log_loss: measured, shape (n,).
        weight: >= 0, zero on padding, shape (n,).
        centre: (p, p), theta = centre @ x with x the solver's variables.
        lower, upper: bounds of x, shape (p,).
        free: which of x the fit may move, shape (p,) bool.
        prior_mean: m, where the prior expects x, shape (p,).
        prior_precision: P, inverse covariance of the prior, zero where it has no say, (p, p).
        prior_weight: the misfit that is worth one unit of negative log prior density, ().
        delta: of the Huber loss, ().
    """

    recipe: Recipe
    log_loss: Array
    weight: Array
    centre: Array
    lower: Array
    upper: Array
    free: Array
    prior_mean: Array
    prior_precision: Array
    prior_weight: Array
    delta: Array

    @property
    def box(self) -> Box:
        """Where the solver may go."""
        return Box(self.lower, self.upper, self.free)


class Resample(NamedTuple):
    """What a bootstrap draw changes of `FitData`; shapes as there."""

    weight: Array
    log_loss: Array
    prior_mean: Array


class FitResiduals(NamedTuple):
    """How a fit misses its runs, and how that depends on the solver's variables.

    Attributes:
        misfit: sum of Huber losses, without the prior, ().
        residual: predicted minus measured log loss, (n,), zero on padding.
        jacobian: of the log loss in the solver's variables, (n, p), zero on padding.
    """

    misfit: Array
    residual: Array
    jacobian: Array


def huber(residual: Array, delta: Array, xp: ModuleType = jnp) -> Array:
    """Huber loss (Huber 1964), elementwise: e²/2 within `delta`, delta·(|e| − delta/2) beyond."""
    size = xp.abs(residual)
    return xp.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def residuals(law: Law, x: Array, data: FitData) -> Array:
    """Predicted minus measured log loss, shape (n,); zero on padding."""
    predicted = law.log_loss_theta(data.centre @ x, data.recipe)
    return jnp.where(data.weight > 0, predicted - data.log_loss, 0.0)


def misfit(residual: Array, data: FitData, xp: ModuleType = jnp) -> Array:
    """Weighted sum of Huber losses of residuals (..., n): (...).

    A sum, so that tolerances do not depend on the run count.
    """
    return xp.sum(data.weight * huber(residual, data.delta[..., None], xp), axis=-1)


def negative_log_prior(x: Array, data: FitData, xp: ModuleType = jnp) -> Array:
    """(x − m)ᵀ P (x − m) / 2, the negative log density of the prior up to a constant, (...)."""
    off = x - data.prior_mean
    return 0.5 * xp.vecdot((off[..., None, :] @ data.prior_precision)[..., 0, :], off)


def evaluate_residuals(
    residual: Array,
    jacobian: Array,
    x: Array,
    data: FitData,
    xp: ModuleType = jnp,
) -> Evaluation:
    """The objective at x (..., p) and the reweighted squares that stand for its curvature.

    With residuals e (..., n) and their Jacobian J (..., p, n) the gradient is
    J (weight · clip(e, ±δ)) and the model of the Hessian J diag(weight · w) Jᵀ, the prior's added.
    The textbook's w = min(1, δ/|e|) of iteratively reweighted least squares bounds the loss from
    above and converges slowly where most residuals exceed δ: the curvature that it claims is about
    twice the true one. Here w = min(1, δ/|e|)^1.5, and how far the true curvature is from that is
    learnt from each step, as one number (see `advance`). That halves the iterations.
    """
    delta = data.delta[..., None]
    closeness = delta / xp.maximum(xp.abs(residual), delta)
    root = xp.sqrt(data.weight * closeness * xp.sqrt(closeness))
    rows = jacobian * root[..., None, :]
    # Where the weight is zero so is the pull: 0 / 1.
    pull = data.weight * xp.clip(residual, -delta, delta) / xp.where(root > 0, root, 1.0)
    precision = data.prior_weight[..., None, None] * data.prior_precision
    return Evaluation(
        misfit(residual, data, xp) + data.prior_weight * negative_log_prior(x, data, xp),
        matvec(rows, pull) + matvec(precision, x - data.prior_mean),
        rows @ xp.swapaxes(rows, -1, -2) + precision,
    )


def dispersion(misfit: np.ndarray, data: FitData) -> np.ndarray:
    """The misfit (B,) a degree of freedom: worth one unit of negative log likelihood.

    That is delta times the scale of the noise where the noise is larger than delta (then the Huber
    loss is Laplace's likelihood), half its variance where it is smaller, which leans towards the
    runs.
    """
    return misfit / spare_runs(data)


def spare_runs(data: FitData) -> np.ndarray:
    """Runs beyond the number of free coefficients, at least 1, (B,)."""
    spare = np.sum(data.weight > 0, axis=1) - np.sum(data.free, axis=1)
    return np.maximum(spare, 1)
