"""Rules of thumb, as recipes: what people would train without a law."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ..design import optimal_size
from ..fitting import Fits
from ..recipe import Recipe

_FEW_EPOCHS = 4.0  # up to which repeated text is nearly as good as new, arXiv:2305.16264
ONE_STAGE = "the plan in one stage"
_TEMPERATURE = 0.3  # exponent of corpus sizes, arXiv:1911.02116


class RuleQuestion(NamedTuple):
    """What a rule is asked.

    Attributes:
        n_params: model size that it takes.
        total_tokens: D, tokens of training.
        target_tokens: unique target tokens at hand.
        source_tokens: source tokens that may be read; infinite where nothing limits them.
    """

    n_params: float
    total_tokens: float
    target_tokens: float
    source_tokens: float

    @classmethod
    def of(
        cls,
        compute: float,
        target_tokens: float,
        source_tokens: float,
        sizes: tuple[float, float],
    ) -> RuleQuestion:
        """Of a budget (FLOP), spent on the model of 20 tokens a parameter, within `sizes`."""
        size = float(np.clip(optimal_size(compute), *sizes))
        return cls(size, compute / 6 / size, target_tokens, source_tokens)


class RuleOutcome(NamedTuple):
    """What a rule of thumb would cost.

    Attributes:
        name: of the rule.
        recipe: leaves (); None where the rule says nothing here, see `why`.
        loss: expected, nats per token; this and what follows None without a recipe.
        more: log of expected loss over the plan's.
        more_low, more_high: interval of the log of the loss over the plan's.
        why: in words why there is no recipe; "" where there is one.
    """

    name: str
    recipe: Recipe | None
    loss: float | None
    more: float | None
    more_low: float | None
    more_high: float | None
    why: str


def _monolingual(q: RuleQuestion) -> float | str:
    return 1.0


def _few_epochs(q: RuleQuestion) -> float | str:
    return min(1.0, _FEW_EPOCHS * q.target_tokens / q.total_tokens)


def _natural(q: RuleQuestion) -> float | str:
    if math.isinf(q.source_tokens):
        return "needs the source tokens at hand"
    return q.target_tokens / (q.target_tokens + q.source_tokens)


def _unimax(q: RuleQuestion) -> float | str:
    # Half the tokens, unless that is more than a few epochs (arXiv:2304.09151, two languages).
    return min(0.5, _FEW_EPOCHS * q.target_tokens / q.total_tokens)


def _temperature(q: RuleQuestion) -> float | str:
    if math.isinf(q.source_tokens):
        return "needs the source tokens at hand"
    target, source = (n**_TEMPERATURE for n in (q.target_tokens, q.source_tokens))
    return target / (target + source)


# Name -> target ratio of one stage for a question, or in words why the rule says nothing.
RULES: Mapping[str, Callable[[RuleQuestion], float | str]] = {
    "target language alone": _monolingual,
    "four epochs": _few_epochs,
    "natural mix": _natural,
    "UniMax, at most 4 epochs": _unimax,
    "temperature 0.3": _temperature,
}


def rule_outcomes(
    fits: Fits, chosen: Recipe, *, question: RuleQuestion, level: float, width: float
) -> tuple[RuleOutcome, ...]:
    """What each rule would cost beside the recipe `chosen` (leaves ()), in the language of `fits`.

    Differences lie as many times wider than the draws say as `width` tells.
    """
    drawn = fits.predict_draws(_one(chosen))[:, 0]

    def outcome(name: str, recipe: Recipe) -> RuleOutcome:
        losses = fits.predict_draws(_one(recipe))[:, 0]
        more = np.log(losses) - np.log(drawn)
        low, middle, high = np.quantile(more, [(1 - level) / 2, 0.5, (1 + level) / 2])
        return RuleOutcome(
            name,
            recipe,
            float(losses.mean()),
            float(np.log(losses.mean() / drawn.mean())),
            float(middle - width * (middle - low)),
            float(middle + width * (high - middle)),
            "",
        )

    outcomes = []
    if chosen.final_ratio > chosen.target_ratio * 1.001:
        r = chosen.target_ratio
        one_stage = dataclasses.replace(chosen, final_ratio=r, first_ratio=r)
        outcomes.append(outcome(ONE_STAGE, one_stage))
    for name, rule in RULES.items():
        ratio = rule(question)
        if not isinstance(ratio, str):
            source = (1 - ratio) * question.total_tokens
            if source > question.source_tokens * (1 + 1e-9):
                ratio = "needs more source tokens than there are"
        if isinstance(ratio, str):
            outcomes.append(RuleOutcome(name, None, None, None, None, None, ratio))
            continue
        recipe = Recipe.create(
            n_params=question.n_params,
            target_tokens=question.target_tokens,
            epochs=ratio * question.total_tokens / question.target_tokens,
            target_ratio=ratio,
        )
        outcomes.append(outcome(name, recipe))
    return tuple(outcomes)


def _one(recipe: Recipe) -> Recipe:
    """A recipe with leaves (1,)."""
    return Recipe(*(np.array([leaf], dtype=np.float64) for leaf in vars(recipe).values()))
