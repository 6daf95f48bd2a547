"""How far runs scatter around a fit, and whether that depends on epochs and ratio.

    σ(k, r) = σ₀ (k / k₀)^a (r / r₀)^b,

k₀ and r₀ being the geometric middle of the runs: the multiplicative heteroscedasticity of Harvey
(1976). a and b are nothing unless the residuals show them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._batching import take_rows
from ..recipe import Array, Recipe

_FEWEST = 30  # runs that can show how their noise depends on anything
_CERTAIN = (6.63, 9.21)  # 99% quantiles of chi-squared with one and two degrees of freedom
_RIDGE = 4.0  # runs that a belief in even noise counts as
_SMALLEST = 4.0  # log squares below their median: of runs that a robust fit passes through
_STEEPEST = 1.0  # power


def noise_variables(recipe: Recipe) -> np.ndarray:
    """Logarithms of epochs and target ratio, (..., 2)."""
    read = recipe.as_read()
    return np.log(np.stack(np.broadcast_arrays(read.epochs, read.target_ratio), axis=-1))


def noise_factor(recipe: Recipe, powers: Array, middle: Array) -> np.ndarray:
    """σ / σ₀ of recipes (...), of powers (a, b) around the middle (log k₀, log r₀)."""
    return np.exp((noise_variables(recipe) - middle) @ powers)


def noise_weights(recipe: Recipe, powers: Array, middle: Array) -> np.ndarray:
    """By how much runs (n,) count, with mean 1: 1/σ.

    Beyond delta, where most runs of a fit lie, the Huber loss grows in proportion to a residual.
    """
    weights = 1 / noise_factor(recipe, powers, middle)
    return weights / np.mean(weights)


def noise_powers(
    recipe: Recipe, residual: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Powers a, b of each language's noise, (L, 2), and the middle of its runs, (L, 2).

    Least squares of log e² on log k and log r, with a belief in even noise, where these explain
    more of it than noise that is even would leave them to in one table of a hundred.

    Args:
        recipe: leaves (L, n).
        residual: of log losses, (L, n).
        used: which of them are runs, (L, n).
    """
    powers, middle = np.zeros((len(used), 2)), np.zeros((len(used), 2))
    for i, real in enumerate(used):
        x = noise_variables(take_rows(recipe, (i, real)))
        middle[i] = x.mean(axis=0)
        if real.sum() >= _FEWEST:
            powers[i] = _powers(x - middle[i], residual[i, real])
    return powers, middle


def _powers(x: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Of one language: x (n, 2) around its middle."""
    out, varies = np.zeros(2), x.std(axis=0) > 1e-9
    if not varies.any():
        return out
    x = x[:, varies]
    with np.errstate(divide="ignore"):
        size = np.log(residual**2)
    size = np.maximum(size, np.median(size) - _SMALLEST)
    if not np.all(np.isfinite(size)):
        return out  # next to all residuals are zero
    size = size - size.mean()
    slope: Any = np.linalg.solve(x.T @ x + _RIDGE * np.diag(x.var(axis=0)), x.T @ size)
    left = np.sum((size - x @ slope) ** 2)
    explained = (np.sum(size**2) - left) / (left / (len(size) - x.shape[1] - 1))
    if explained > _CERTAIN[x.shape[1] - 1]:
        out[varies] = np.clip(slope / 2, -_STEEPEST, _STEEPEST)
    return out
