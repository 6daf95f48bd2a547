"""What the draws make of recipes: intervals, shares of regimes, regret."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from ..fitting import Spread, interval, loss_interval, predict_spread
from ..laws import Law
from ..recipe import REGIMES, Recipe
from .question import DrawOptima, Questions
from .solvers import best_regime, recipes

_CHOICES = 48  # recipes of other draws that each draw may choose from, beside its own
_ROWS = 64  # questions whose choices are weighed in one go


class OverDraws(NamedTuple):
    """What the draws make of P recipes; leaves (P,), `regime_share` (P, 3)."""

    loss_low: np.ndarray
    loss_high: np.ndarray
    recipe_low: Recipe
    recipe_high: Recipe
    regime_share: np.ndarray
    regret: np.ndarray


class _Chosen(NamedTuple):
    """The best recipe under each draw: leaves (P, B), its regime and loss (P, B)."""

    recipe: Recipe
    regime: np.ndarray
    loss: np.ndarray


def over_draws(
    questions: Questions,
    recipe: Recipe,
    loss: np.ndarray,
    optima: DrawOptima,
    possible: np.ndarray,
    level: float,
) -> OverDraws:
    """Intervals, shares of regimes and regret of recipes with these losses, leaves (P,)."""
    count = optima.log_loss.shape[-1]
    low, high, regret = loss.copy(), loss.copy(), np.zeros(len(loss))
    if not count:
        return OverDraws(low, high, recipe, recipe, np.zeros((len(loss), len(REGIMES))), regret)
    spread = questions.spread.take(np.arange(len(questions.languages)), count)
    best = _own_best(questions, optima)
    if spread.bends.any():
        for i in range(len(questions.languages)):
            lanes = np.flatnonzero((questions.language == i) & possible)
            for first in range(0, len(lanes), _ROWS):
                _choose_again(questions.law, spread, i, lanes[first : first + _ROWS], recipe, best)
    share = np.stack([np.mean(best.regime == k, axis=1) for k in range(len(REGIMES))], axis=1)
    share[~possible] = 0.0
    leaves, tree = jax.tree.flatten(best.recipe)
    ends: Any = zip(*(interval(leaf, level, axis=1) for leaf in leaves), strict=True)
    recipe_low, recipe_high = (jax.tree.unflatten(tree, end) for end in ends)
    for i in range(len(questions.languages)):
        rows = np.flatnonzero((questions.language == i) & possible)
        if not len(rows):
            continue
        predicted = predict_spread(questions.law, spread, i, _rows(recipe, rows))  # (B, rows)
        low[rows], high[rows] = loss_interval(
            loss[rows], predicted, level, calibrated=spread.calibrated
        )
        regret[rows] = np.maximum(predicted.T - best.loss[rows], 0.0).mean(axis=1)
    return OverDraws(low, high, recipe_low, recipe_high, share, regret)


def _own_best(questions: Questions, optima: DrawOptima) -> _Chosen:
    """The best recipe under each draw's law."""
    regime = np.maximum(best_regime(optima.log_loss), 0)  # (P, B)
    z = np.take_along_axis(optima.z, regime[None, None], axis=0)[0]  # (4, P, B)
    wide = jax.tree.map(lambda leaf: leaf[..., None], questions.values)
    drawn = recipes(z, wide, regime)
    drawn = jax.tree.map(lambda leaf: np.broadcast_to(leaf, regime.shape).copy(), drawn)
    return _Chosen(drawn, regime, np.exp(optima.log_loss.min(axis=0)))


def _choose_again(
    law: Law, spread: Spread, language: int, rows: np.ndarray, answer: Recipe, best: _Chosen
) -> None:
    """Let each draw choose with what its loss bends by beyond the runs; `best` is changed.

    From its own best recipe under the law, those of other draws, and the answer: where a draw's
    loss bends the best recipe is elsewhere, and the draws' recipes lie all around it.
    """
    count = best.regime.shape[1]
    own = _rows(best.recipe, rows)  # (rows, B)
    best.loss[rows] *= np.exp(spread.bent_each(language, own))
    some = np.unique(np.linspace(0, count - 1, min(count, _CHOICES)).round().astype(int))
    offered = jax.tree.map(
        lambda drawn, point: np.concatenate([drawn[:, some], point[rows, None]], axis=1),
        own,
        answer,
    )
    loss = np.moveaxis(predict_spread(law, spread, language, offered), 0, 1)
    place = np.argmin(loss, axis=2)  # (rows, B)
    least = np.take_along_axis(loss, place[..., None], axis=2)[..., 0]
    better = least < best.loss[rows]
    best.loss[rows] = np.where(better, least, best.loss[rows])
    regime = np.asarray(offered.regime)
    taken = np.take_along_axis(regime, place, axis=1)
    best.regime[rows] = np.where(better, taken, best.regime[rows])
    for mine, theirs in zip(jax.tree.leaves(best.recipe), jax.tree.leaves(offered), strict=True):
        mine[rows] = np.where(better, np.take_along_axis(theirs, place, axis=1), mine[rows])


def _rows(recipe: Recipe, rows: np.ndarray) -> Recipe:
    return jax.tree.map(lambda leaf: leaf[rows], recipe)
