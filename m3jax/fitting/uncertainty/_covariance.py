"""How sure the coefficients, and all that follows from them, are: the delta method."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np

from ..._errors import M3Error
from ...computing import in_double_precision
from ...recipe import Array
from ...runs import RunTable
from .._fits import Fits
from ._linearise import linearise
from ._linearised import Linearised
from ._robust import student_quantile


def covariance(fits: Fits, runs: RunTable, language: str | None = None) -> np.ndarray:
    """Covariance (p, p) of theta (see `Law.from_theta`) at the best fit of one language.

    The sandwich of an M-estimator, H⁻¹ (Σ_g s_g s_g' + λ² P) H⁻¹, clustered by `run_id`, prior
    included (Huber 1967, White 1980; see `Linearised.covariance_x`). Coefficients that are held
    have zero variance. One that is at a bound counts as if it could move both ways.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        language: may be left out where there is only one.

    Raises `M3Error` for runs that the fit was not made from, or a language that was not fitted.
    """
    return _linearised(fits, runs, language).covariance


def delta_interval(
    fits: Fits,
    runs: RunTable,
    function: Callable[[Array], Array],
    language: str | None = None,
    level: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval (low, high) of anything derived from the coefficients, by the delta method.

    g(theta) ± t √(∇g' C ∇g), with C the `covariance` and t the quantile of Student's distribution
    with as many degrees of freedom as there are independent runs beyond the effective parameters.

    `function` takes theta (p,) to an array of any shape and is differentiated by JAX; for a loss,
    say, `lambda theta: law.log_loss_theta(theta, recipe)`. The interval is symmetric around its
    value at the best fit: give it the logarithm of what must stay positive.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        function: written with `jax.numpy`.
        language: may be left out where there is only one.
        level: of the interval; default that of the fits.

    Raises `M3Error` as `covariance` does, on a level outside (0, 1), and if the function or its
    derivative is not finite.
    """
    level = level_of(fits, level)
    linearised = _linearised(fits, runs, language)
    with in_double_precision():
        theta = jax.numpy.asarray(linearised.theta)
        value = np.asarray(function(theta), dtype=np.float64)
        slope = np.asarray(jax.jacfwd(function)(theta), dtype=np.float64)
    if not (np.all(np.isfinite(value)) and np.all(np.isfinite(slope))):
        raise M3Error("function: it or its derivative is not finite at the best fit")
    variance = np.einsum("...i,ij,...j->...", slope, linearised.covariance, slope)
    quantile = student_quantile((1 + level) / 2, linearised.degrees_of_freedom)
    half = quantile * np.sqrt(np.maximum(variance, 0.0))
    return value - half, value + half


def level_of(fits: Fits, level: float | None) -> float:
    """The level of an interval, by default that of the fits. Raises `M3Error` outside (0, 1)."""
    level = float(fits.settings["level"]) if level is None else level
    if not 0 < level < 1:
        raise M3Error(f"level: expected a number between 0 and 1, got {level}")
    return level


def _linearised(fits: Fits, runs: RunTable, language: str | None) -> Linearised:
    name = fits.languages[fits.index(language)]
    return linearise(fits, runs, [name])[0]
