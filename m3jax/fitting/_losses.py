"""Losses under a fit and its draws, and their intervals."""

from __future__ import annotations

from statistics import NormalDist

import jax
import numpy as np

from .._errors import M3Error
from ..laws import Law
from ..recipe import Recipe
from ._beyond import Spread
from .engine import log_losses

# Normal quantiles in the middle of 21 equal shares: the noise of a run, added to every draw.
_NOISE = np.array([NormalDist().inv_cdf((i + 0.5) / 21) for i in range(21)])


def predict(law: Law, thetas: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Loss under coefficient vectors (B, p), of shape (B, *recipe's shape), in float64.

    Raises `M3Error` if a loss is not finite.
    """
    leaves = np.broadcast_arrays(*jax.tree.leaves(recipe))
    thetas = np.asarray(thetas, dtype=np.float64)
    loss = np.exp(log_losses(law, thetas, Recipe(*(leaf.reshape(-1) for leaf in leaves))))
    if not np.all(np.isfinite(loss)):
        raise M3Error(f"law {law.name}: the predicted loss of a recipe is not finite")
    return loss.reshape(len(thetas), *leaves[0].shape)


def predict_spread(law: Law, spread: Spread, language: int, recipe: Recipe) -> np.ndarray:
    """Loss of recipes (...) under every draw of one language, bends included: (B, ...)."""
    drawn = predict(law, spread.theta[language], recipe)
    return drawn * np.exp(spread.bent(language, recipe))


def loss_interval(
    best: np.ndarray,
    drawn: np.ndarray,
    level: float,
    *,
    calibrated: bool,
    noise: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of losses (...), from the best fit's (...) and those under draws (B, ...).

    Calibrated ones are best · e^±h, with h the quantile of |log drawn − log best| at `level`: to
    which side the law errs beyond the runs is not known. The others are percentiles. With `noise`,
    standard deviations of a run's log loss, (...), of what one run will measure.
    """
    off = np.log(drawn) - np.log(best)
    if noise is not None:
        off = np.concatenate([off + z * noise for z in _NOISE])
    if calibrated:
        half = np.quantile(np.abs(off), level, axis=0)
        return best * np.exp(-half), best * np.exp(half)
    low, high = interval(off, level)
    return best * np.exp(low), best * np.exp(high)


def interval(draws: np.ndarray, level: float, axis: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of bootstrap draws along `axis`."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=axis)
    return low, high
