"""What the draws of a fit believe of the recipes that may be chosen."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ..fitting import Fits, predict_spread
from ..optimization import Recommendations, best_regime
from ._belief import Belief

_CHOICES = 48  # draws whose own best recipes may be chosen


def belief_of(
    fits: Fits,
    i: int,
    recommendations: Recommendations,
    count: int,
    noise: float,
    normal: np.ndarray,
) -> Belief:
    """What `count` draws say of the questions that have an answer."""
    theta = fits.draws[i, :count]
    possible = np.flatnonzero(recommendations.feasible.ravel())
    lanes = np.repeat(possible, count)
    questions = recommendations.questions.take(lanes).under(np.tile(theta, (len(possible), 1)))
    by_regime = jax.tree.map(lambda leaf: leaf.reshape(-1, 3)[lanes].T, recommendations.by_regime)
    with np.errstate(divide="ignore"):  # a regime that is not on offer is all zeros
        passes = by_regime.target_tokens_seen / questions.at_hand
        z = np.log([by_regime.n_params, passes, by_regime.target_ratio, by_regime.final_ratio])
    solved = questions.solve(near=np.swapaxes(z, 0, 1))
    own, best = solved.log_loss.min(axis=0), questions.recipes(solved, best_regime(solved.log_loss))
    spread = fits.spread.take(np.array([i]), count)
    drawn = jax.tree.map(lambda leaf: np.reshape(leaf, (len(possible), count)), best)
    own = own.reshape(len(possible), count) + spread.bent_each(0, drawn)
    some = np.unique(np.linspace(0, count - 1, min(count, _CHOICES)).round().astype(int))

    def choices(answer: Any, by_regime: Any, drawn: Any) -> np.ndarray:
        answer = answer.reshape(-1)[possible]
        by_regime = by_regime.reshape(-1, 3)[possible]
        return np.concatenate([answer[:, None], by_regime, drawn[:, some]], axis=1)

    offered = jax.tree.map(choices, recommendations.recipe, recommendations.by_regime, drawn)
    # A regime that is not on offer is all zeros: the answer itself once more.
    absent = offered.n_params == 0
    offered = jax.tree.map(lambda leaf: np.where(absent, leaf[:, :1], leaf), offered)
    stake = np.moveaxis(np.log(predict_spread(fits.law, spread, 0, offered)), 0, -1)  # (Q, M, B)
    own = np.minimum(np.where(np.isfinite(own), own, np.inf), stake.min(axis=1))
    return Belief(theta, np.float64(noise), stake, own, normal, fits.law)
