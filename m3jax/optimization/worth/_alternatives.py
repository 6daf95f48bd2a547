"""What the other regimes would lose against the recommended one, in loss and in compute."""

from __future__ import annotations

import numpy as np

from ..._errors import M3Error, shown
from ...recipe import REGIMES
from .._result import Recommendations

_MOST = 1e6  # times the compute that are looked at
_STEPS = 30  # halvings of log compute: to 1e-8
_NOISE = 1e-9  # of solved log losses: not a tie of regimes, but where bisection stops


def loss_given_up(recommendations: Recommendations) -> np.ndarray:
    """Loss given up by taking the best of each regime, nats per token, (L, C, T, 3).

    Infinite for regimes that are not on offer.
    """
    best = np.where(recommendations.feasible, recommendations.loss, 0.0)[..., None]
    return np.maximum(recommendations.by_regime_loss - best, 0.0)


def compute_gain(recommendations: Recommendations, regime: str = REGIMES[0]) -> np.ndarray:
    """How many times the compute the best of `regime` needs to be as good, shape (L, C, T).

    2.3 reads "as good as monolingual at 2.3× the compute". 1 where the recipe is of that regime;
    infinite where even a million times the compute does not do, or the regime is not on offer.
    Found by bisection of the exact loss in log compute; other limits stay as they are.
    Raises `M3Error` on an unknown regime.
    """
    if regime not in REGIMES:
        raise M3Error(f"unknown regime {shown(regime)}; known: {', '.join(REGIMES)}")
    k = REGIMES.index(regime)
    shape = recommendations.feasible.shape
    feasible = recommendations.feasible.ravel()
    lanes = np.flatnonzero(feasible & recommendations.questions.offered[k])
    gain = np.full(feasible.size, np.inf)
    if not len(lanes):
        return gain.reshape(shape)
    goal = np.log(recommendations.loss.ravel()[lanes])
    questions = recommendations.questions.take(lanes)

    def is_enough(times: np.ndarray) -> np.ndarray:
        larger = questions.replace(compute=questions.values.compute * times)
        return larger.solve(only=(k,)).log_loss[k] <= goal + _NOISE

    reached = is_enough(np.full(len(lanes), _MOST))
    low, high = np.zeros(len(lanes)), np.full(len(lanes), np.log(_MOST))
    already = is_enough(np.ones(len(lanes)))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        enough = is_enough(np.exp(middle))
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    gain[lanes] = np.where(already, 1.0, np.where(reached, np.exp(high), np.inf))
    return gain.reshape(shape)
