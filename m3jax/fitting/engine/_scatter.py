"""How far runs scatter around a fit, and where the Huber loss then turns from square to linear."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ._objective import FitData
from ._search import Descents

# Standard deviation of log losses of training runs before any are seen, and how many runs of one
# language that belief counts as.
TYPICAL_NOISE, NOISE_BELIEF_RUNS = 0.01, 4.0
# Of Huber's delta. Around real runs more of the scatter is what a law misses than noise, and the
# further runs are the ones missed: on held-out runs of the shipped and Muennighoff's tables half
# predicts like next to nothing, and 2% better than the 1.345 that suit normal errors (Huber 1964).
_DELTA_OVER_NOISE = 0.5
_STARTS, _ROUNDS, _TOLERANCE = 4, (10, 8, 8), 1e-3  # of the rough fit
_LEAST_SD = 1e-9  # scatter of log losses below which it is rounding
_MAD_TO_SD = 1.4826  # standard deviations in a median absolute deviation of normal errors


def robust_sd(residual: np.ndarray, parameters: int) -> float:
    """Robust standard deviation of residuals (n,) of a fit with so many effective parameters.

    1.4826 times the median absolute residual (the MAD around zero). A fit by absolute values passes
    through as many runs as it has coefficients: that many of the smallest residuals say nothing and
    are left out.
    """
    sizes = np.sort(np.abs(residual))
    kept = sizes[min(parameters, len(sizes) - 1) :]
    return max(_MAD_TO_SD * float(np.median(kept)), _LEAST_SD)


def delta_of_scatter(descents: Descents, candidates: np.ndarray, data: FitData) -> np.ndarray:
    """The delta (L,) that the scatter of each language's runs asks for, see `delta_of_noise`.

    The runs scatter around a rough fit, without a prior, from the best of its candidates (L, C, p).
    The noise is σ² = (ν₀ σ₀² + ν s²) / (ν₀ + ν), with s the robust scatter of ν spare runs and σ₀
    what is typical of training runs, which counts as ν₀ of them.
    """
    count = len(candidates)
    data = dataclasses.replace(
        data, prior_weight=np.zeros(count), delta=np.full(count, TYPICAL_NOISE)
    )
    starts = descents.rank(candidates, data, _STARTS)
    x, value, _, _ = descents.descend(starts, data, _ROUNDS, _TOLERANCE)
    best = np.argmin(value, axis=1)
    residual = descents.residuals_and_jacobian(x[np.arange(count), best], data).residual
    used = np.asarray(data.weight) > 0
    noise = np.full(count, TYPICAL_NOISE)
    for i in np.flatnonzero(np.isfinite(value.min(axis=1))):
        parameters = int(np.sum(data.free[i]))
        spare = max(int(np.sum(used[i])) - parameters, 0)
        squares = spare * robust_sd(residual[i, used[i]], parameters) ** 2
        squares += NOISE_BELIEF_RUNS * TYPICAL_NOISE**2
        noise[i] = math.sqrt(squares / (NOISE_BELIEF_RUNS + spare))
    return delta_of_noise(noise)


def delta_of_noise(noise: np.ndarray) -> np.ndarray:
    """Half of the noise sds (B,).

    Rounded to a tenth of a decade: what is told is what was used, and rounding errors of other
    devices do not change it.
    """
    decades = np.round(10 * np.log10(_DELTA_OVER_NOISE * noise)) / 10
    return np.array([float(f"{10**decade:.2g}") for decade in decades.tolist()])
