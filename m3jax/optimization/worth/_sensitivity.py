"""`sensitivities`: how the best recipe moves with what it was asked, and what limits cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error
from ...computing import in_double_precision, jit_by_first
from ...laws import Law
from ...recipe import REGIMES, TWO_STAGE, Array
from ...variables import DECISION_VARIABLES, LIMIT_WORDS
from .._result import Recommendations
from ..solvers import LIMIT_INDEX, REGIME_TIE, Question, RecipeProblem, build_problem
from ._implicit import POLISH, kkt_system

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
        lanes = jax.tree.map(lambda leaf: np.asarray(leaf)[..., None], question)
        problem = build_problem(lanes, regime, in_part=in_part)[0].take(0)
        z = np.log([recipe.n_params, passes, recipe.target_ratio, recipe.final_ratio])
        solved = recommendations.multipliers[position]
        multipliers = np.array([solved[LIMIT_INDEX[name]] for name in problem.rows])
        evaluate = partial(_system, law, regime, in_part, problem.rows, theta, question)
        (by_theta, by_question), slacks, rank = _derived(
            evaluate, _solver_variables(problem, z), multipliers
        )
    elasticity = {
        name: _relative_changes(getattr(by_question, leaf), index, scale)
        for name, (leaf, index, scale) in _scales(question, regime).items()
    }
    prices = {
        name: _price_in_words(name, changes["loss"], float(recommendations.loss[position]))
        for name, changes in elasticity.items()
        if abs(changes["loss"]) > _WORTH_NAMING
    }
    for j, c in enumerate(law.coefficients):
        scale = 1.0 if c.log else float(theta[j])
        elasticity[c.name] = _relative_changes(by_theta, j, scale)
    kinks = _kinks(recommendations, position, problem.rows, multipliers, slacks, rank)
    return Sensitivities(REGIMES[regime], elasticity, prices, tuple(kinks))


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


def _relative_changes(jacobian: np.ndarray, index: int, scale: float) -> dict[str, float]:
    """Relative changes of loss and variables per relative change of one input.

    `jacobian` has log loss and `_MOVED` first, then the input's axis, if it has one.
    """
    column: np.ndarray = jacobian.reshape(len(jacobian), -1)[:, index]
    return {
        name: float(change * scale) for name, change in zip(("loss", *_MOVED), column, strict=True)
    }


@partial(jit_by_first, static_argnums=(0, 1, 2))
def _system(
    law: Law,
    regime: int,
    in_part: bool,
    rows: tuple[str, ...],
    theta: Array,
    question: Question,
    w: Array,
    active: Array,
) -> tuple[Array, Array, Array, Any]:
    """KKT system, log loss with the logarithms of `_MOVED`, and slacks, at w = (u, multipliers).

    Last, Jacobians of the first two by (theta, question, w).
    """

    def values(theta: Array, question: Question, w: Array) -> tuple[Any, Any]:
        problem, _ = build_problem(question, regime, jnp, rows, in_part=in_part)
        u = w[: problem.low.shape[0]]
        recipe = problem.recipe(u)
        moved = [jnp.log(getattr(recipe, name)) for name in _MOVED]
        outcome = jnp.stack([law.log_loss_theta(theta, recipe), *moved])
        both = kkt_system(law, theta, problem, active, w), outcome
        return both, (*both, -problem.excess(u))

    jacobian, told = jax.jacfwd(values, argnums=(0, 1, 2), has_aux=True)(theta, question, w)
    return (*told, jacobian)


def _derived(
    evaluate: Callable[[np.ndarray, np.ndarray], Any], u: np.ndarray, multipliers: np.ndarray
) -> tuple[tuple[np.ndarray, Question], np.ndarray, float]:
    """Jacobian in (theta, question), slacks, and how singular the KKT system is.

    The Jacobian is of log loss and the logarithms of `_MOVED`, by the implicit function theorem
    (see `_implicit`); `evaluate(w, active)` is `_system`.
    """
    w = np.concatenate([u, multipliers])
    slacks = np.asarray(evaluate(w, multipliers > 0)[2])
    active = multipliers > np.maximum(slacks, 1e-12)
    w = np.concatenate([u, np.where(active, multipliers, 0.0)])
    ranks = []
    for _ in range(POLISH + 1):
        system, _, _, (by, outcome_by) = jax.tree.map(np.asarray, evaluate(w, active))
        sizes = np.linalg.svd(by[2], compute_uv=False)
        ranks.append(sizes[-1] / sizes[0])
        inverse = np.linalg.pinv(by[2], rcond=1e-12)
        step = inverse @ system
        if np.all(np.isfinite(step)) and np.max(np.abs(step)) < 1e-2:
            w = w - step

    def whole(held: np.ndarray, moving: np.ndarray) -> np.ndarray:
        return held - outcome_by[2] @ (inverse @ moving.reshape(len(inverse), -1)).reshape(
            -1, *moving.shape[1:]
        )

    return jax.tree.map(whole, outcome_by[:2], by[:2]), slacks, ranks[0]


def _solver_variables(problem: RecipeProblem, z: np.ndarray) -> np.ndarray:
    """The variables u (d,) of a problem at z (4,); see `RecipeProblem.z`."""
    if problem.regime == TWO_STAGE:
        return np.array([z[0], z[1], z[2], z[3] - problem.tilt * z[2]])
    return z[: len(problem.low)]


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
    rows: tuple[str, ...],
    multipliers: np.ndarray,
    slacks: np.ndarray,
    rank: float,
) -> list[str]:
    """Why a derivative may hold on one side only."""
    kinks = [
        f"{LIMIT_WORDS[name]}: on the edge of mattering"
        for name, m, s in zip(rows, multipliers, slacks, strict=True)
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
    if rank < 1e-9:
        kinks.append("more limits meet here than can matter at once")
    return kinks
