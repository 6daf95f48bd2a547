"""Starting values: exponents from the law's ranges, amplitudes from the losses at hand."""

from __future__ import annotations

import numpy as np

from ..laws import Law, LogSpaceLaw


def draw_starts(
    law: Law,
    count: int,
    *,
    rng: np.random.Generator,
    centre: np.ndarray,
    mean_log_loss: float,
) -> np.ndarray:
    """Random starting points in the solver's centred variables, shape (count, p).

    For a law in log space each amplitude is the size of its term in the middle of the runs, so it
    starts at 2–60% of the typical loss whatever the units.
    """
    low, high = law.theta_start()
    theta = low + (high - low) * rng.random((count, len(low)))
    starts = np.linalg.solve(centre, theta.T).T
    if isinstance(law, LogSpaceLaw):
        for name in law.terms:
            share = np.exp(rng.uniform(np.log(0.02), np.log(0.6), count))
            starts[:, law.names.index(name)] = mean_log_loss + np.log(share)
    return starts
