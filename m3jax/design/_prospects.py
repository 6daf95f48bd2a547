"""What some runs would be worth, before anything is designed in earnest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..computing import in_double_precision
from ..fitting import Fits
from ..optimization import Recommendations
from ..options import Bounds
from ..recipe import Recipe
from ._belief import Belief, expected_regret, normals
from ._of_fits import belief_of
from ._random import SPENT
from ._run_space import RunSpace, run_space
from ._search import RunSet, exchange_with, random_design

_DRAWS = 64  # that stand for what is believed
_SAMPLES = 48  # normal numbers that expectations are taken over
_DESIGNS, _POOL = 4, 96  # random designs, and runs to exchange the best one's against
_SMALLER, _LARGER = 10.0, 4.0  # times than the small likeness of the recipe
_MOST_RUN_EPOCHS = 64.0  # small runs go beyond what is recommended, to see what that does
_STAGES = (0.05, 0.5)  # of all tokens, in the last of two stages


class Prospect(NamedTuple):
    """What to expect of some runs.

    Attributes:
        budget: of all of them, FLOP.
        runs: how many.
        regret_now: expected loss above the best recipe's if the choice is made now, nats per token.
        regret_after: the same once these runs have been trained.
    """

    budget: float
    runs: int
    regret_now: float
    regret_after: float


def prospects(
    fits: Fits,
    recommendations: Recommendations,
    budgets: Sequence[float],
    *,
    runs: int,
    noise: float,
    seed: int,
) -> list[Prospect]:
    """What runs around one recipe would be worth, for each of some budgets (FLOP).

    The designs are good ones, not the best: of random runs, the best set, improved by exchange.
    """
    count = min(recommendations.n_draws, fits.draws.shape[1], _DRAWS)
    recipe = recommendations.at(0, 0, 0)
    with in_double_precision():
        belief = belief_of(fits, 0, recommendations, count, noise, normals(_SAMPLES, runs, seed))
        found: list[Prospect] = []
        for number, budget in enumerate(budgets):
            share = budget / float(recommendations.compute[0]) / runs
            space, _ = run_space(
                fits.languages[0],
                fits.law,
                fits.grounds[0],
                most_tokens=float(recommendations.target_tokens.max()),
                reach=1.0,
                bounds=ranges_around(recipe, share),
                ladder=None,
            )
            rng = np.random.default_rng([seed, 8, number])
            design = _good_design(belief, space, SPENT * budget, runs, rng)
            signal = belief.signal(space.recipe(*design))
            now, after = expected_regret(belief, signal, seed)
            # What a smaller budget buys a larger one buys too.
            after = min([after, *(prospect.regret_after for prospect in found)])
            found.append(Prospect(budget, runs, now, after))
    return found


def likeness_of(recipe: Recipe, share: float) -> Recipe:
    """A small likeness of a recipe (leaves ()) that takes a share of its compute; leaves (1,).

    It has √share of its size, and of its tokens from a part of the corpus, so that it sees the same
    epochs and ratios (as in arXiv:2606.07597).
    """
    read, scale = recipe.as_read(), np.array([math.sqrt(share)])
    return Recipe.create(
        n_params=read.n_params * scale,
        target_tokens=read.target_tokens * scale,
        epochs=read.epochs,
        target_ratio=read.target_ratio,
        final_ratio=read.final_ratio,
        first_ratio=read.first_ratio,
    )


def ranges_around(recipe: Recipe, share: float) -> Mapping[str, Bounds]:
    """Ranges of small runs around the likeness of a recipe at a share of its compute."""
    small = likeness_of(recipe, share)
    size, corpus = float(small.n_params[0]), float(small.target_tokens[0])
    epochs, ratio = float(small.epochs[0]), float(recipe.target_ratio)
    return {
        "n_params": (size / _SMALLER, min(size * _LARGER, recipe.n_params)),
        "target_tokens": (corpus / _SMALLER, corpus * _LARGER),
        "epochs": (1.0, min(_LARGER * max(epochs, 2.0), max(_MOST_RUN_EPOCHS, epochs))),
        "target_ratio": (ratio / _LARGER, 1.0),
        "stage_fraction": _STAGES,
    }


def _good_design(
    belief: Belief, space: RunSpace, budget: float, runs: int, rng: np.random.Generator
) -> RunSet:
    designs = [random_design(space, budget, runs, rng) for _ in range(_DESIGNS)]
    gains = [float(belief.expected_gain(belief.signal(space.recipe(*d)))) for d in designs]
    best = designs[int(np.argmax(gains))]
    return exchange_with(belief, space, budget, best, _POOL, rng)
