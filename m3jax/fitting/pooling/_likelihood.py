"""What a language's runs say around its fit: their likelihood, and where its posterior's mean is.

The fit is the mode of the posterior under the language's prior. Where a handful of runs meets many
coefficients the posterior is a thin curved sheet, and its mean lies off the mode, in all languages
to the same side: a population made of modes would be off by many of its standard errors. To next
order (Tierney and Kadane 1986, Accurate approximations for posterior moments and marginal
densities) the mean is

    E[x] ≈ x̂ − V g,   g = ½ ∇ tr(V H(x)) = ½ ∇ log det H(x)   at the mode x̂,

with H the curvature of the negative log posterior and V its inverse at x̂: as if g were added to
the gradient of the negative log likelihood.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..engine import Descents, FitData
from ._matrices import symmetric

_STEP = 0.05  # of the central differences, in posterior sds
_MOST_SHIFT = 2.0  # posterior sds, root mean square, that the mean may lie off the mode


class LocalLikelihood(NamedTuple):
    """The runs' negative log likelihood around fits x, to second order.

    Attributes:
        information: A = J' V J / σ², (L, p, p).
        gradient: J' V e / σ², (L, p).
        squares: Σ_i v_i e_i², (L,).
    """

    information: np.ndarray
    gradient: np.ndarray
    squares: np.ndarray


def local_likelihood(
    descents: Descents, x: np.ndarray, data: FitData, noise: np.ndarray
) -> LocalLikelihood:
    """Around x (L, p), with noise sds σ (L,) and Huber's weights v_i = w_i min(1, δ/|e_i|).

    As one step of iteratively reweighted least squares has it.
    """
    residual, jacobian = _residuals(descents, x, data)
    weight = _huber_weight(residual, data)
    information = np.einsum("lni,ln,lnj->lij", jacobian, weight, jacobian)
    return LocalLikelihood(
        information / noise[:, None, None] ** 2,
        _gradient(residual, jacobian, weight, noise),
        np.sum(weight * residual**2, axis=1),
    )


def volume_gradient(
    descents: Descents,
    x: np.ndarray,
    data: FitData,
    noise: np.ndarray,
    posterior: np.ndarray,
) -> np.ndarray:
    """g = ½ ∇ tr(V H(x)) at fits x (L, p) with posterior precisions V⁻¹ (L, p, p): (L, p).

    tr(V H) is the sum of second derivatives along the axes of the posterior, V = Σ_s v_s v_s', so
    that g is half the second differences of the gradient along them, Huber's weights held.
    """
    free = np.asarray(data.free)
    axes = np.linalg.cholesky(symmetric(np.linalg.inv(posterior)))
    axes = axes * (free[:, :, None] & free[:, None])
    residual, jacobian = _residuals(descents, x, data)
    weight = _huber_weight(residual, data)
    bend = np.zeros_like(x)
    for axis in np.moveaxis(_STEP * axes, 2, 0):
        for side in (x + axis, x - axis):
            bend += _gradient(*_residuals(descents, side, data), weight, noise)
    bend -= 2 * x.shape[1] * _gradient(residual, jacobian, weight, noise)
    tilt = np.where(free, 0.5 * bend / _STEP**2, 0.0)
    shift = np.einsum("lji,lj->li", axes, tilt)  # of the mean, in posterior sds
    size = np.sqrt(np.sum(shift**2, axis=1) / np.maximum(free.sum(axis=1), 1))
    return tilt / np.maximum(size / _MOST_SHIFT, 1.0)[:, None]


def _residuals(descents: Descents, x: np.ndarray, data: FitData) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (L, n) and their Jacobian (L, n, p), zero where not finite or held."""
    at_x = descents.residuals_and_jacobian(x, data)
    residual = np.where(np.isfinite(at_x.residual), at_x.residual, 0.0)
    jacobian = np.where(np.isfinite(at_x.jacobian), at_x.jacobian, 0.0)
    return residual, jacobian * np.asarray(data.free)[:, None]


def _huber_weight(residual: np.ndarray, data: FitData) -> np.ndarray:
    delta = np.asarray(data.delta)[:, None]
    return np.asarray(data.weight) * delta / np.maximum(np.abs(residual), delta)


def _gradient(
    residual: np.ndarray, jacobian: np.ndarray, weight: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Of Σ_i v_i e_i² / 2σ², (L, p)."""
    return np.einsum("lni,ln->li", jacobian, weight * residual) / noise[:, None] ** 2
