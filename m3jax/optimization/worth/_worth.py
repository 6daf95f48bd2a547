"""What a recommendation is worth: against other regimes, in loss and in compute."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from ..._errors import M3Error
from ...fitting import Fits
from ...recipe import REGIMES
from .._result import Recommendations
from ..question import user_task
from ..solvers import solve

_MOST = 1e6  # times the compute that are looked at
_STEPS = 30  # halvings of log compute: to 1e-8


def loss_given_up(found: Recommendations) -> np.ndarray:
    """Loss given up by taking the best of each regime, nats per token, (L, C, T, 3).

    Infinite for regimes that are not on offer.
    """
    best = np.where(found.feasible, found.loss, 0.0)[..., None]
    return np.maximum(found.by_regime_loss - best, 0.0)


def compute_gain(fits: Fits, found: Recommendations, regime: str = REGIMES[0]) -> np.ndarray:
    """How many times the compute the best of `regime` needs to be as good, shape (L, C, T).

    2.3 reads "as good as monolingual at 2.3× the compute". 1 where the recipe is of that regime;
    infinite where even a million times the compute does not do, or the regime is not on offer.
    Found by bisection of the exact loss in log compute; other limits stay as they are.
    Raises `M3Error` on an unknown regime.
    """
    if regime not in REGIMES:
        raise M3Error(f"unknown regime {regime!r}; known: {', '.join(REGIMES)}")
    k = REGIMES.index(regime)
    asked = found.asked
    lanes = np.flatnonzero(found.feasible.ravel() & asked.regimes[k])
    gain = np.full(found.feasible.size, np.inf)
    if not len(lanes):
        return gain.reshape(found.feasible.shape)
    goal = np.log(found.loss.ravel()[lanes])
    theta = fits.theta[asked.index[asked.language[lanes]]].T.copy()
    question = jax.tree.map(lambda leaf: leaf[..., lanes], asked.question)

    def log_loss(times: np.ndarray) -> np.ndarray:
        larger = dataclasses.replace(question, compute=question.compute * times)
        task, args = user_task(fits, asked, lanes)
        with jax.enable_x64(True):
            solved = solve(
                fits.law,
                theta,
                larger,
                asked.regimes[:, lanes],
                ladder=asked.limits.ladder,
                task=task,
                args=args,
                only=(k,),
            )
        return solved.log_loss[k]

    reached = log_loss(np.full(len(lanes), _MOST)) <= goal + 1e-9
    low, high = np.zeros(len(lanes)), np.full(len(lanes), np.log(_MOST))
    already = log_loss(np.ones(len(lanes))) <= goal + 1e-9
    for _ in range(_STEPS):
        middle = (low + high) / 2
        enough = log_loss(np.exp(middle)) <= goal + 1e-9
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    gain[lanes] = np.where(already, 1.0, np.where(reached, np.exp(high), np.inf))
    return gain.reshape(found.feasible.shape)
