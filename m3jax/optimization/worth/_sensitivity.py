"""How the best recipe moves with what it was asked: implicit derivatives of the optimum.

At an optimum with active limits A the KKT system F(w; parameters) = 0 in w = (u, multipliers) has
dw = −K⁻¹·∂F, K = ∂F/∂w (implicit function theorem; Fiacco, "Introduction to Sensitivity and
Stability Analysis in Nonlinear Programming", 1983). One Newton step on F from the solved point,
with K held, has exactly this derivative, forwards and backwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error
from ...laws import Law
from ...recipe import REGIMES, TWO_STAGE, Array, Recipe
from ...variables import DECISION_VARIABLES, LIMIT_WORDS
from .._result import Recommendations
from ..solvers import (
    AT,
    NAMED,
    Question,
    RecipeProblem,
    build,
    concerns,
    follow,
    has_terms,
    screened,
    value,
)

_NEAR = 1e-6  # multiplier and slack both below: the limit may be active or not
_TIED = 1e-6  # relative loss between regimes
_WORTH_NAMING = 1e-6  # elasticity of the loss
_POLISH = 2  # Newton steps before the one that is differentiated


def _system(law: Law, theta: Array, problem: RecipeProblem, active: Array, w: Array) -> Array:
    """F: stationarity, and slack zero of active limits, multiplier zero of the others."""
    d = problem.low.shape[0]
    u, multipliers = w[:d], w[d:]

    def lagrangian(u: Array) -> Array:
        slacks = -problem.excess(u)
        return law.log_loss_theta(theta, problem.recipe(u)) - jnp.sum(
            jnp.where(active, multipliers * slacks, 0.0)
        )

    held = ~problem.free()
    stationary = jnp.where(held, u - problem.low, jax.grad(lagrangian)(u))
    return jnp.concatenate([stationary, jnp.where(active, -problem.excess(u), multipliers)])


def solution(
    law: Law, theta: Array, problem: RecipeProblem, u: Array, multipliers: Array
) -> tuple[Array, Array]:
    """(u, multipliers), each (d,) and (m,), as differentiable functions of theta and problem.

    The arguments are the solved values; limits with a multiplier above their slack are active.
    """
    held = jax.lax.stop_gradient
    theta_, problem_ = held((theta, problem))
    slacks = -problem_.excess(u)
    active = multipliers > jnp.maximum(slacks, 1e-12)
    w = jnp.concatenate([u, jnp.where(active, multipliers, 0.0)])
    frozen = partial(_system, law, theta_, problem_, active)
    for _ in range(_POLISH):
        step = jnp.linalg.pinv(jax.jacfwd(frozen)(w), rtol=1e-12) @ frozen(w)
        step = jnp.where(jnp.all(jnp.isfinite(step)) & (jnp.max(jnp.abs(step)) < 1e-2), step, 0.0)
        w = w - step
    w = held(w)
    inverse = held(jnp.linalg.pinv(jax.jacfwd(frozen)(w), rtol=1e-12))
    moved = w - inverse @ _system(law, theta, problem, active, w)
    d = u.shape[0]
    return moved[:d], moved[d:]


def _rows(question: Question, regime: int) -> tuple[str, ...]:
    """The limits that may be there, as far as can be told from values that are traced."""
    absent = {
        name
        for name, leaf, none in (
            ("gpu_hours", question.gpu_flops, np.inf),
            ("total_tokens", question.total_tokens, np.inf),
            ("source_tokens", question.source_tokens, np.inf),
            ("lowest first_ratio", question.first_ratio, 0.0),
        )
        if not isinstance(leaf, jax.core.Tracer) and np.all(np.asarray(leaf) == none)
    }
    return tuple(name for name in NAMED if name not in absent and concerns(name, regime))


def best_recipe(
    law: Law, theta: Array, question: Question, *, regimes: Sequence[int] = (0, 1, 2)
) -> tuple[Array, Recipe]:
    """Lowest loss (nats per token) and its recipe, for one question: differentiable in everything.

    For laws made of terms (`m3`, `m3_posynomial`, `chinchilla`). `theta` (p,) and the leaves of
    `question`, () or (4,), may be traced: `jit`, `jax.grad` and `jax.jacfwd` work, derivatives are
    those of the implicit function theorem for the limits that are active (first order only). Where
    no regime has an allowed recipe the loss is infinite. Use under `jax.enable_x64(True)`.

    Raises `M3Error` for laws not made of terms.
    """
    if not has_terms(law):
        raise M3Error(f"best_recipe: law {law.name} is not made of terms, as m3 is")
    rows = _rows(question, TWO_STAGE)
    built = [build(question, regime, jnp, rows, lift=True) for regime in regimes]
    lanes = jax.tree.map(
        lambda *leaves: jnp.stack(leaves, axis=-1),
        *[jax.lax.stop_gradient(problem) for problem, _ in built],
    )
    thetas = jnp.repeat(jax.lax.stop_gradient(theta)[:, None], len(built), axis=1)
    terms, states, _ = screened(law, thetas, lanes)
    # Both starts as lanes of one path.
    state = jax.tree.map(lambda *pair: jnp.concatenate(pair, axis=-1), *states)
    terms, lanes = jax.tree.map(lambda leaf: jnp.tile(leaf, 2), (terms, lanes))
    end = follow(terms, lanes, state, 80)
    values = value(terms, end.u).reshape(2, len(built))
    losses, recipes = [], []
    for i, (problem, possible) in enumerate(built):
        lane = i + len(built) * jnp.argmin(values[:, i])
        u, multipliers = (jnp.stack([x[lane] for x in part]) for part in (end.u, end.multipliers))
        u, _ = solution(law, theta, problem, u, multipliers)
        recipe = problem.recipe(u)
        losses.append(jnp.where(possible, jnp.exp(law.log_loss_theta(theta, recipe)), jnp.inf))
        recipes.append(recipe)
    best = jnp.argmin(jnp.stack(losses))
    return jnp.stack(losses)[best], jax.tree.map(lambda *s: jnp.stack(s)[best], *recipes)


@dataclasses.dataclass(frozen=True)
class Sensitivities:
    """Derivatives of one answer.

    Attributes:
        regime: of the recipe, a member of `recipe.REGIMES`.
        elasticity: what changes -> {"loss", "n_params", "epochs", "target_ratio", "final_ratio"} ->
            relative change of it per relative change of that. What changes is compute,
            target_tokens, a cap or a bound by its name in `LIMITS`, or a coefficient of the law.
        prices: shadow prices of what is scarce, in sentences.
        kinks: why the derivatives hold on one side only; empty where they hold on both.
    """

    regime: str
    elasticity: dict[str, dict[str, float]]
    prices: tuple[str, ...]
    kinks: tuple[str, ...]


_WORDS = {"compute": "compute", "target_tokens": "unique target tokens"}


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
    with jax.enable_x64(True):
        question = jax.tree.map(lambda leaf: jnp.asarray(leaf[..., p]), questions.values)
        if questions.limits.ladder is not None:
            question = dataclasses.replace(
                question,
                low=question.low.at[0].set(recipe.n_params),
                high=question.high.at[0].set(recipe.n_params),
            )
        theta = jnp.asarray(questions.theta[p])
        lanes = jax.tree.map(lambda leaf: np.asarray(leaf)[..., None], question)
        rows = build(lanes, regime)[0].rows
        z = jnp.log(jnp.stack([getattr(recipe, name) for name in DECISION_VARIABLES]))
        solved = recommendations.multipliers[position]
        multipliers = jnp.asarray([solved[AT[name]] for name in rows])
        (by_theta, by_question), slacks, rank = _derived(
            law, regime, rows, theta, question, z, multipliers
        )
    elasticity = {
        name: _relative_changes(np.asarray(getattr(by_question, leaf)), index, scale)
        for name, (leaf, index, scale) in _scales(question, regime).items()
    }
    prices = [
        _price(name, changes["loss"], float(recommendations.loss[position]))
        for name, changes in elasticity.items()
        if abs(changes["loss"]) > _WORTH_NAMING
    ]
    for j, c in enumerate(law.coefficients):
        scale = 1.0 if c.log else float(theta[j])
        elasticity[c.name] = _relative_changes(np.asarray(by_theta), j, scale)
    kinks = _kinks(
        recommendations, position, rows, np.asarray(multipliers), np.asarray(slacks), rank
    )
    return Sensitivities(REGIMES[regime], elasticity, tuple(prices), tuple(kinks))


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

    `jacobian` has (log loss, z) first, then the input's axis, if it has one.
    """
    column: np.ndarray = jacobian.reshape(len(jacobian), -1)[:, index]
    return {
        name: float(change * scale)
        for name, change in zip(("loss", *DECISION_VARIABLES), column, strict=True)
    }


@partial(jax.jit, static_argnames=("law", "regime", "rows"))
def _derived(
    law: Law,
    regime: int,
    rows: tuple[str, ...],
    theta: Array,
    question: Question,
    z: Array,
    multipliers: Array,
) -> tuple[Any, Array, Array]:
    """Jacobian of (log loss, z) in (theta, question); slacks; how singular the KKT system is."""

    def outcome(theta: Array, question: Question) -> Array:
        problem, _ = build(question, regime, jnp, rows)
        u = _u_of(problem, z)
        u, _ = solution(law, theta, problem, u, multipliers)
        return jnp.stack([law.log_loss_theta(theta, problem.recipe(u)), *problem.z(u)])

    problem, _ = build(question, regime, jnp, rows)
    u = _u_of(problem, z)
    slacks = -problem.excess(u)
    active = multipliers > jnp.maximum(slacks, 1e-12)
    w = jnp.concatenate([u, jnp.where(active, multipliers, 0.0)])
    matrix = jax.jacfwd(partial(_system, law, theta, problem, active))(w)
    sizes = jnp.linalg.svd(matrix, compute_uv=False)
    return jax.jacrev(outcome, argnums=(0, 1))(theta, question), slacks, sizes[-1] / sizes[0]


def _u_of(problem: RecipeProblem, z: Array) -> Array:
    if problem.regime == TWO_STAGE:
        return jnp.stack([z[0], z[1], z[2], z[3] - jax.lax.stop_gradient(problem.tilt) * z[2]])
    return z[: problem.low.shape[0]]


def _price(name: str, elasticity: float, loss: float) -> str:
    change = loss * (np.exp(elasticity * np.log(1.1)) - 1.0)
    what = _WORDS.get(name) or LIMIT_WORDS[name]
    verb = "lowers" if change < 0 else "raises"
    more = "10% more" if name in ("compute", "target_tokens") else "a 10% higher"
    return f"{more} {what} {verb} the loss by {abs(change):.2g}"


def _kinks(
    recommendations: Recommendations,
    position: tuple[int, ...],
    rows: tuple[str, ...],
    multipliers: np.ndarray,
    slacks: np.ndarray,
    rank: Array,
) -> list[str]:
    """Why a derivative may hold on one side only."""
    kinks = [
        f"{LIMIT_WORDS[name]}: on the edge of mattering"
        for name, m, s in zip(rows, multipliers, slacks, strict=True)
        if m < np.sqrt(_NEAR) and s < np.sqrt(_NEAR) and (m < _NEAR or s > m * 1e-3)
    ]
    losses = recommendations.by_regime_loss[position]
    best = recommendations.regime[position]
    for k, other in enumerate(losses):
        if k != best and other <= losses[best] * (1 + _TIED):
            kinks.append(f"{REGIMES[k]} is as good")
    if abs(recommendations.recipe.epochs[position] - 1.0) < 1e-6 and not any(
        name in recommendations.active(*position) for name in ("lowest epochs", "highest epochs")
    ):
        kinks.append("at one epoch, where repetition begins")
    if float(rank) < 1e-9:
        kinks.append("more limits meet here than can matter at once")
    return kinks
