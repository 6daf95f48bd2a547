"""Information criteria of a Huber fit."""

from __future__ import annotations

import math

import numpy as np


def information_criteria(
    objective: float, runs: float, coefficients: float, delta: float
) -> tuple[float, float]:
    """AIC and BIC of a fit of log losses; smaller is better, on the same runs only.

    The objective is a sum of Huber losses h(e). It is read as the negative log likelihood of errors
    with density exp(−h(e)/s)/Z(s), where the scale s is fitted as well: normal errors if they are
    small against delta, Laplace's if they are large. (Akaike 1974; Schwarz 1978; the weak prior has
    no say in the count of coefficients.)
    """
    scales = np.geomspace(1e-14, 1e14, 6001) * delta**2
    root = np.sqrt(scales)
    within = np.sqrt(2 * math.pi) * root * np.vectorize(math.erf)(delta / (math.sqrt(2) * root))
    with np.errstate(under="ignore"):
        beyond = 2 * (scales / delta) * np.exp(-(delta**2) / (2 * scales))
    deviance = 2 * np.min(objective / scales + runs * np.log(within + beyond))
    count = coefficients + 1
    return float(deviance + 2 * count), float(deviance + count * math.log(runs))
