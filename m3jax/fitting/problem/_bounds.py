"""Coefficients that a fit leaves at the end of their range, or without any effect."""

from __future__ import annotations

import numpy as np

from ...laws import Law, LogSpaceLaw

_VANISHED_LOG_SIZE = -20.0  # of a term, relative to the typical loss: as good as gone
_BOUND_SLACK = 1e-6  # of a coefficient's range, within which it counts as at its bound


def bounds_reached(
    law: Law, j: int, x: np.ndarray, mean_log_loss: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """What can be said of a fitted coefficient at a bound, and where it is so: [(words, (L,))].

    Args:
        law: the law.
        j: which of its coefficients.
        x: that solver variable, see `ParameterSpace`, (L,).
        mean_log_loss: of each language's runs, (L,).
    """
    coefficient = law.coefficients[j]
    if isinstance(law, LogSpaceLaw) and coefficient.name in law.terms:
        words = "vanishes: the runs show no sign of its term"
        return [(words, x < mean_log_loss + _VANISHED_LOG_SIZE)]
    low, high = (bounds[j] for bounds in law.theta_bounds())
    slack = _BOUND_SLACK * (high - low)
    return [
        (f"is at its lower bound {coefficient.bounds[0]:g}", x <= low + slack),
        (f"is at its upper bound {coefficient.bounds[1]:g}", x >= high - slack),
    ]
