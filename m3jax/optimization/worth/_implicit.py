"""The optimum as a differentiable function of what was asked.

At an optimum with active limits A the KKT system F(w; parameters) = 0 in w = (u, multipliers) has
dw = −K⁻¹·∂F, K = ∂F/∂w (implicit function theorem; Fiacco, "Introduction to Sensitivity and
Stability Analysis in Nonlinear Programming", 1983). One Newton step on F from the solved point,
with K held, has exactly this derivative.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...laws import Law
from ...recipe import Array, Recipe
from ..solvers import Question, RecipeProblem, build_problem

_POLISH = 3  # Newton steps before the one that is differentiated
_SINGULAR = 1e-12  # share of the largest singular value below which one counts as none


class Solved(NamedTuple):
    """Where a solver ended, in the terms of `build_problem(..., lift=True)`: one for all regimes.

    Attributes:
        regime: index into `recipe.REGIMES`, ().
        in_part: whether a part of the text is read, ().
        z: logarithms of n_params, k·D_T / (tokens at hand), target_ratio and final_ratio, (4,).
        multipliers: of the limits, (m,).
    """

    regime: Array
    in_part: Array
    z: Array
    multipliers: Array


class Answer(NamedTuple):
    """What is best, to first order in what was asked.

    Attributes:
        loss: nats per token, ().
        recipe: leaves ().
        slacks: of the limits, (m,).
        rank: smallest over largest singular value of the KKT system, ().
    """

    loss: Array
    recipe: Recipe
    slacks: Array
    rank: Array


def first_order(
    law: Law, rows: tuple[str, ...], theta: Array, question: Question, solved: Solved
) -> tuple[Answer, Any]:
    """The answer at a solved point, polished, and the Jacobian of (loss, recipe).

    The Jacobian is by (theta, question), forms nested as `jax.jacfwd` does. `rows` are the limits
    of `multipliers`; those with a multiplier above their slack are active.
    """

    def problem_of(question: Question) -> RecipeProblem:
        regime, in_part = solved.regime, solved.in_part
        return build_problem(question, regime, jnp, rows, lift=True, in_part=in_part)[0]

    problem = problem_of(question)
    n, k, r, f = solved.z
    u = jnp.stack([n, k, r, f - problem.tilt * r])
    slacks = -problem.excess(u)
    active = solved.multipliers > jnp.maximum(slacks, _SINGULAR)

    def polished(_: int, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """Further along, the inverse of K where it came from, and its rank."""
        w = carry[0]
        system, matrix = _with_jacobian(partial(_kkt_system, law, theta, problem, active), w)
        left, sizes, right = jnp.linalg.svd(matrix)
        least = _SINGULAR * sizes[0]
        scale = jnp.where(sizes > least, 1.0 / jnp.where(sizes > least, sizes, 1.0), 0.0)
        inverse = (right.T * scale) @ left.T
        step = inverse @ system
        sound = jnp.all(jnp.isfinite(step)) & (jnp.max(jnp.abs(step)) < 1e-2)
        return w - jnp.where(sound, step, 0.0), inverse, sizes[-1] / sizes[0]

    w = jnp.concatenate([u, jnp.where(active, solved.multipliers, 0.0)])
    start = w, jnp.zeros((len(w), len(w)), w.dtype), jnp.zeros((), w.dtype)
    w, inverse, rank = jax.lax.fori_loop(0, _POLISH, polished, start)

    def outcome(theta: Array, question: Question) -> Any:
        problem = problem_of(question)
        moved = w - inverse @ _kkt_system(law, theta, problem, active, w)
        recipe = problem.recipe(moved[: len(u)])
        value = jnp.exp(law.log_loss_theta(theta, recipe)), recipe
        return value, value

    jacobian, (loss, recipe) = jax.jacfwd(outcome, argnums=(0, 1), has_aux=True)(theta, question)
    return Answer(loss, recipe, slacks, rank), jacobian


def _with_jacobian(function: Any, w: Array) -> tuple[Array, Array]:
    """Value and Jacobian of a function of one vector."""

    def twice(w: Array) -> tuple[Array, Array]:
        value = function(w)
        return value, value

    jacobian, value = jax.jacfwd(twice, has_aux=True)(w)
    return value, jacobian


def _kkt_system(law: Law, theta: Array, problem: RecipeProblem, active: Array, w: Array) -> Array:
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
