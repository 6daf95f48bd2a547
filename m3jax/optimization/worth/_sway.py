"""Runs that a recipe hangs on: what would be recommended without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ...fitting import Fits, Prior, fit, linearise
from ...options import FitOptions
from ...recipe import REGIMES, Recipe
from ...runs import RunTable
from .._result import Position, Recommendations
from ..solvers import best_regime

_SWAYED = 1.3  # factor in model size or epochs from which a recipe is another
_LEAST = 0.002  # of the loss given up, below which it does not matter
_CANDIDATES = 6  # runs of most influence, of which pairs are looked at


@dataclasses.dataclass(frozen=True)
class Sway:
    """A recipe that hangs on one or two runs.

    Attributes:
        runs: what they are called: `run_id`s.
        without: the best recipe of the fit without them (of floats).
        loss: predicted for it by that fit, nats per token.
        given_up: what the recommended recipe loses against it by that fit, nats per token.
    """

    runs: tuple[str, ...]
    without: Recipe
    loss: float
    given_up: float

    def in_words(self, recipe: Recipe) -> str:
        """One sentence, of the recommended recipe."""
        names = " and ".join(map(repr, self.runs))
        them = "it" if len(self.runs) == 1 else "them"
        regime = REGIMES[int(np.asarray(self.without.regime))]
        return (
            f"hangs on {'run' if len(self.runs) == 1 else 'runs'} {names}: without {them}"
            f" {float(self.without.epochs):.3g} epochs and {float(self.without.n_params):.3g}"
            f" parameters ({regime}) in place of {float(recipe.epochs):.3g} and"
            f" {float(recipe.n_params):.3g}, against which this recipe then loses"
            f" {self.given_up:.3g} nats; repeat {them}, or add runs near {them}"
        )


def swaying_runs(
    fits: Fits,
    runs: RunTable,
    recommendations: Recommendations,
    *,
    positions: Collection[Position] | None = None,
) -> dict[Position, Sway]:
    """The recipes that one or two runs decide, and what would be recommended without these.

    Which runs those may be is told by one Newton step of the fit without each (Pregibon 1981), and
    by the recipes under the coefficients that it ends at; the fit without the one, or the pair,
    that moves size and epochs most is then made in earnest. A recipe hangs on them where model size
    or epochs change by 30%, or the regime does, and 0.2% of the loss is at stake.

    Args:
        fits: the fits.
        runs: that they were made from.
        recommendations: what they recommend.
        positions: which of the recipes to look at; default all.

    Raises `M3Error` if the fits were not made from `runs`.
    """
    suspects: dict[Position, tuple[str, ...]] = {}
    for i, language in enumerate(recommendations.languages):
        asked = [
            (i, j, t)
            for j, t in np.argwhere(recommendations.feasible[i]).tolist()
            if positions is None or (i, j, t) in positions
        ]
        if not asked:
            continue
        (linearised,) = linearise(fits, runs, [language])
        names = runs.run_id[linearised.position].astype(str)
        theta = linearised.theta_without_each()
        for position in asked:
            moved = _moves(recommendations, position, theta)
            suspects[position] = _most_moving(moved, names, linearised.cluster)
    return _in_earnest(fits, runs, recommendations, suspects)


def _moves(recommendations: Recommendations, position: Position, theta: np.ndarray) -> np.ndarray:
    """How log model size and log epochs of a recipe move under coefficients (G, p): (G, 2)."""
    place = int(np.ravel_multi_index(position, recommendations.feasible.shape))
    questions = recommendations.questions.take(np.full(len(theta), place)).under(theta)
    recipe = jax.tree.map(lambda leaf: float(leaf[position]), recommendations.recipe)
    solved = questions.solve()
    regime = best_regime(solved.log_loss)
    without = questions.recipes(solved, np.maximum(regime, 0))
    moved = np.stack(
        [
            np.log(without.n_params / recipe.n_params),
            np.log(without.epochs / recipe.epochs),
        ],
        axis=1,
    )
    return np.where((regime >= 0)[:, None], moved, 0.0)


def _most_moving(moved: np.ndarray, names: np.ndarray, cluster: np.ndarray) -> tuple[str, ...]:
    """The run, or the pair, without which a recipe moves most, moves (G, 2) being additive."""
    size = np.linalg.norm(moved, axis=1)
    first = [int(np.argmax(cluster == g)) for g in range(len(moved))]
    some = np.argsort(-size)[:_CANDIDATES].tolist()
    pairs = [(g, h) for g in some for h in some if g < h]
    if not pairs:
        return (str(names[first[some[0]]]),)
    sums = [float(np.linalg.norm(moved[g] + moved[h])) for g, h in pairs]
    best = pairs[int(np.argmax(sums))]
    leader = some[0]
    chosen = (leader,) if size[leader] > 0.9 * max(sums) else best
    return tuple(str(names[first[g]]) for g in chosen)


def _in_earnest(
    fits: Fits,
    runs: RunTable,
    recommendations: Recommendations,
    suspects: Mapping[Position, tuple[str, ...]],
) -> dict[Position, Sway]:
    """Fits without the suspects, their recipes, and which of them are others."""
    found: dict[Position, Sway] = {}
    keys = sorted({(p[0], names) for p, names in suspects.items()})
    for i, names in keys:
        language = recommendations.languages[i]
        own = runs.language == language
        gone = own & np.isin(runs.run_id.astype(str), names)
        # What the languages have in common needs them all.
        pooled = fits.settings["pool"] != "none"
        left = runs.select(~gone if pooled else own & ~gone)
        again = fit(left, fits.law, **_how(fits, None if pooled else language))
        if language not in again.languages:
            continue
        positions = [p for p, s in suspects.items() if (p[0], s) == (i, names)]
        found |= _recipes_without(again, language, recommendations, positions, names)
    return found


def _how(fits: Fits, language: str | None) -> dict[str, Any]:
    """The options of a fit like this one, without draws; of one language with its Huber delta."""
    settings = fits.settings
    options = {name: settings[name] for name in FitOptions.names() if name != "prior"}
    prior: Any = settings["prior"]
    # The public one is known by its name, and is more than its ranges.
    if prior != "public" and "prior_ranges" in settings:
        spans = settings["prior_ranges"].items()
        prior = Prior({name: tuple(span) for name, span in spans}, settings["prior_source"])
    if language is not None:
        options["huber_delta"] = float(fits.huber_delta[fits.index(language)])
    return {**options, "draws": 0, "prior": prior}


def _recipes_without(
    again: Fits,
    language: str,
    recommendations: Recommendations,
    positions: Sequence[Position],
    names: tuple[str, ...],
) -> dict[Position, Sway]:
    places = np.array([np.ravel_multi_index(p, recommendations.feasible.shape) for p in positions])
    questions = recommendations.questions.take(places)
    questions = questions.under(np.tile(again.theta[again.index(language)], (len(places), 1)))
    solved = questions.solve()
    regime = best_regime(solved.log_loss)
    best = questions.recipes(solved, np.maximum(regime, 0))
    found = {}
    for k, position in enumerate(positions):
        if regime[k] < 0:
            continue
        recipe = recommendations.at(*position)
        without = jax.tree.map(lambda leaf, k=k: float(leaf[k]), best)
        loss = float(np.exp(solved.log_loss[regime[k], k]))
        given_up = float(again.predict(recipe, language)[()]) - loss
        other = max(
            abs(np.log(without.n_params / recipe.n_params)),
            abs(np.log(without.epochs / recipe.epochs)),
        ) > np.log(_SWAYED) or int(regime[k]) != int(recommendations.regime[position])
        if other and given_up > _LEAST * loss:
            found[position] = Sway(names, without, loss, given_up)
    return found
