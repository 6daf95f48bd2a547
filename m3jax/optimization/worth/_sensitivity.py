"""`sensitivities`: how the best recipe moves with what it was asked, and what limits cost."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error
from ...computing import in_double_precision, jit_by_first
from ...recipe import REGIMES, TWO_STAGE
from ...variables import DECISION_VARIABLES, LIMIT_WORDS
from .._result import Recommendations
from ..solvers import NAMED_LIMITS, REGIME_TIE, Question
from ._implicit import Answer, Solved, first_order

_MOVED = (*DECISION_VARIABLES, "target_tokens")
_EDGE = 1e-7  # of the text
_NEAR = 1e-6  # multiplier and slack both below: the limit may be active or not
_WORTH_NAMING = 1e-6  # elasticity of the loss


@dataclasses.dataclass(frozen=True)
class Sensitivities:
    """Derivatives of one answer.

    Attributes:
        regime: of the recipe, a member of `recipe.REGIMES`.
        elasticity: what changes -> {"loss", "n_params", "epochs", "target_ratio", "final_ratio",
            "target_tokens" (those read)} -> relative change of it per relative change of that. What
            changes is compute, target_tokens, a cap or a bound by its name in `LIMITS`, or a
            coefficient of the law.
        prices: what changes -> its shadow price in a sentence, where it has one.
        kinks: why the derivatives hold on one side only; empty where they hold on both.
    """

    regime: str
    elasticity: dict[str, dict[str, float]]
    prices: dict[str, str]
    kinks: tuple[str, ...]


_AMOUNTS = {"compute": "compute", "target_tokens": "unique target tokens"}


def sensitivities(recommendations: Recommendations, *position: int) -> Sensitivities:
    """How the recipe at a position (language, budget, size) would move.

    Raises `M3Error` where there is no recipe, or its limits include functions of the user's.
    """
    if not recommendations.feasible[position]:
        raise M3Error(f"sensitivities: no recipe is allowed at {position}")
    questions = recommendations.questions
    if questions.has_functions:
        raise M3Error("sensitivities: not available under constraints given as functions")
    p = int(np.ravel_multi_index(position, recommendations.feasible.shape))
    regime = int(recommendations.regime[position])
    law, recipe = questions.law, recommendations.at(*position)
    with in_double_precision():
        question = jax.tree.map(lambda leaf: jnp.asarray(leaf[..., p]), questions.values)
        if questions.limits.ladder is not None:
            question = dataclasses.replace(
                question,
                low=question.low.at[0].set(recipe.n_params),
                high=question.high.at[0].set(recipe.n_params),
            )
        theta = jnp.asarray(questions.theta[p])
        # At the edge, where all text is read as few times as allowed, it counts as all of it.
        passes = recipe.target_tokens_seen / question.target_tokens
        in_part = bool(passes < question.fewest_passes() * (1 - _EDGE))
        z = np.log([recipe.n_params, passes, recipe.target_ratio, recipe.final_ratio])
        multipliers = recommendations.multipliers[position][: len(NAMED_LIMITS)]
        solved = Solved(np.asarray(regime), np.asarray(in_part), z, multipliers)
        answer, by = jax.tree.map(
            np.asarray, _first_order(law, NAMED_LIMITS, theta, question, solved)
        )

    by_loss, by_recipe = by
    outcomes = {"loss": (answer.loss, by_loss)} | {
        name: (getattr(answer.recipe, name), getattr(by_recipe, name)) for name in _MOVED
    }

    def changes_by(argument: int, leaf: str | None, i: int, scale: float) -> dict[str, float]:
        """Relative changes of loss and recipe per relative change of one number."""
        changes = {}
        for name, (value, slopes) in outcomes.items():
            slope = slopes[argument] if leaf is None else getattr(slopes[argument], leaf)
            changes[name] = float(np.ravel(slope)[i] * scale / value)
        return changes

    elasticity = {name: changes_by(1, *where) for name, where in _scales(question, regime).items()}
    prices = {
        name: _price_in_words(name, changes["loss"], float(recommendations.loss[position]))
        for name, changes in elasticity.items()
        if abs(changes["loss"]) > _WORTH_NAMING
    }
    for j, c in enumerate(law.coefficients):
        scale = 1.0 if c.log else float(theta[j])
        elasticity[c.name] = changes_by(0, None, j, scale)
    kinks = _kinks(recommendations, position, multipliers, answer)
    return Sensitivities(REGIMES[regime], elasticity, prices, tuple(kinks))


_first_order = jit_by_first(first_order, static_argnums=(0,))


def _scales(question: Question, regime: int) -> dict[str, tuple[str, int, float]]:
    """What an elasticity is by: name -> the leaf of the question, index in it, and its value."""
    scales: dict[str, tuple[str, int, float]] = {
        name: (name, 0, float(getattr(question, name))) for name in ("compute", "target_tokens")
    }
    for name, leaf in (
        ("total_tokens", "total_tokens"),
        ("source_tokens", "source_tokens"),
        ("gpu_hours", "gpu_flops"),
    ):
        if np.isfinite(value := float(getattr(question, leaf))):
            scales[name] = (leaf, 0, value)
    for j, variable in enumerate(DECISION_VARIABLES):
        for side in ("low", "high"):
            scales[f"{side}est {variable}"] = (side, j, float(getattr(question, side)[j]))
    if regime == TWO_STAGE:
        scales["lowest stage_fraction"] = ("stage_low", 0, float(question.stage_low))
        scales["highest stage_fraction"] = ("stage_high", 0, float(question.stage_high))
    return scales


def _price_in_words(name: str, elasticity: float, loss: float) -> str:
    """What 10% more of something, of a limit or a bound by its name, does to a loss in nats."""
    change = loss * (np.exp(elasticity * np.log(1.1)) - 1.0)
    what = _AMOUNTS.get(name) or LIMIT_WORDS[name]
    verb = "lowers" if change < 0 else "raises"
    more = "10% more" if name in _AMOUNTS else "a 10% higher"
    return f"{more} {what} {verb} the loss by {abs(change):.2g}"


def _kinks(
    recommendations: Recommendations,
    position: tuple[int, ...],
    multipliers: np.ndarray,
    answer: Answer,
) -> list[str]:
    """Why a derivative may hold on one side only."""
    kinks = [
        f"{LIMIT_WORDS[name]}: on the edge of mattering"
        for name, m, s in zip(NAMED_LIMITS, multipliers, answer.slacks, strict=True)
        if m < np.sqrt(_NEAR) and s < np.sqrt(_NEAR) and (m < _NEAR or s > m * 1e-3)
    ]
    log_loss = np.log(recommendations.by_regime_loss[position])
    best = recommendations.regime[position]
    for k, other in enumerate(log_loss):
        if k != best and other <= log_loss[best] + REGIME_TIE:
            kinks.append(f"{REGIMES[k]} is as good")
    if abs(recommendations.recipe.epochs[position] - 1.0) < 1e-6 and not any(
        name in recommendations.active(*position) for name in ("lowest epochs", "highest epochs")
    ):
        kinks.append("at one epoch, where repetition begins")
    if answer.rank < 1e-9:
        kinks.append("more limits meet here than can matter at once")
    return kinks
