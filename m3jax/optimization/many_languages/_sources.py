"""Which source language helps a target language most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from ..._errors import M3Error
from ...fitting import predict_spread
from ...recipe import Recipe
from .._result import Recommendations

_BETWEEN = "+"  # a target and its source, in the name of a language that is read by source


class SourceChoice(NamedTuple):
    """The source that helps one language most, for one budget and corpus size.

    Attributes:
        language: the target.
        compute, target_tokens: of the question.
        source: the one whose best recipe has the lowest predicted loss, or with a prior the one
            that is most probably best.
        probability: of each source, that its recipe is the best of them.
        loss: of each source's recipe, nats per token.
    """

    language: str
    compute: float
    target_tokens: float
    source: str
    probability: Mapping[str, float]
    loss: Mapping[str, float]


def best_sources(
    recommendations: Recommendations, *, closeness: Mapping[str, float] | None = None
) -> list[SourceChoice]:
    """For every target language with several sources, which of them helps most, and how surely.

    The draws of fits to different runs are independent: the probability that a source is best is
    the share of draws in which its recipe's loss is the lowest.

    Args:
        recommendations: of languages read by source, "Indonesian+English", "Indonesian+Malay".
        closeness: source -> weight of a prior on which is best, 1 where none is given.

    Raises `M3Error` on weights that are not positive, or without draws.
    """
    weights = dict(closeness or {})
    for name, weight in weights.items():
        if not 0 < weight < np.inf:
            raise M3Error(f"closeness of {name!r}: expected a positive number, got {weight!r}")
    by_target: dict[str, dict[str, int]] = {}
    for i, name in enumerate(recommendations.languages):
        target, between, source = name.rpartition(_BETWEEN)
        if between:
            by_target.setdefault(target, {})[source] = i
    questions, choices = recommendations.questions, []
    _, budgets, sizes = recommendations.feasible.shape
    for target, sources in by_target.items():
        if len(sources) < 2:
            continue
        if not recommendations.n_draws:
            raise M3Error("best_sources: needs the draws of the recommendations, draws=100")
        for j in range(budgets):
            for t in range(sizes):
                able = {s: i for s, i in sources.items() if recommendations.feasible[i, j, t]}
                if not able:
                    continue
                losses = np.array(
                    [
                        predict_spread(
                            questions.law,
                            questions.spread,
                            i,
                            _one(recommendations, i, j, t),
                        )[: recommendations.n_draws, 0]
                        for i in able.values()
                    ]
                )
                first = np.bincount(np.argmin(losses, axis=0), minlength=len(able))
                share = (first + 0.5) * np.array([weights.get(s, 1.0) for s in able])
                share = share / share.sum()
                point = [float(recommendations.loss[i, j, t]) for i in able.values()]
                place = int(np.argmax(share)) if weights else int(np.argmin(point))
                choices.append(
                    SourceChoice(
                        target,
                        float(recommendations.compute[j]),
                        float(recommendations.target_tokens[next(iter(able.values())), t]),
                        list(able)[place],
                        dict(zip(able, share.tolist(), strict=True)),
                        dict(zip(able, point, strict=True)),
                    )
                )
    return choices


def _one(recommendations: Recommendations, *position: int) -> Recipe:
    recipe: Recipe = jax.tree.map(lambda leaf: leaf[position][None], recommendations.recipe)
    return recipe
