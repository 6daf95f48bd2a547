"""The fit's objective: Huber loss of log residuals, weighted and summed, and a prior."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...laws import Law
from ...recipe import Array, Recipe


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
        prior_mean: where the prior expects x, shape (p,).
        prior_precision: inverse covariance of the prior, zero where it has no say, shape (p, p).
        prior_weight: the misfit that is worth one unit of negative log prior density, ().
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


class Resample(NamedTuple):
    """What a bootstrap draw changes of `FitData`; shapes as there."""

    weight: Array
    log_loss: Array
    prior_mean: Array


def huber(residual: Array, delta: Array) -> Array:
    """Huber loss, elementwise: e²/2 within `delta`, delta·(|e| − delta/2) beyond."""
    size = jnp.abs(residual)
    return jnp.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def residuals(law: Law, x: Array, data: FitData) -> Array:
    """Predicted minus measured log loss, shape (n,); zero on padding."""
    predicted = law.log_loss_theta(data.centre @ x, data.recipe)
    return jnp.where(data.weight > 0, predicted - data.log_loss, 0.0)


def misfit(law: Law, x: Array, data: FitData, delta: Array) -> Array:
    """Weighted sum of Huber losses: a sum, so that tolerances do not depend on the run count."""
    return jnp.sum(data.weight * huber(residuals(law, x, data), delta))


def surprise(x: Array, data: FitData) -> Array:
    """Negative log density of the prior at x, up to a constant."""
    off = x - data.prior_mean
    return 0.5 * (off @ data.prior_precision @ off)


def dispersion(misfit: np.ndarray, data: FitData) -> np.ndarray:
    """The misfit (B,) that is worth one unit of negative log likelihood, of a batch of fits.

    That of a degree of freedom: delta times the scale of the noise where that is larger than delta
    (then the Huber loss is Laplace's likelihood), half its variance where it is smaller, which
    leans towards the runs.
    """
    spare = np.sum(data.weight > 0, axis=1) - np.sum(data.free, axis=1)
    return misfit / np.maximum(spare, 1)
