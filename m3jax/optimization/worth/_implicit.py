"""The optimum as a differentiable function of what was asked.

At an optimum with active limits A the KKT system F(w; parameters) = 0 in w = (u, multipliers) has
dw = −K⁻¹·∂F, K = ∂F/∂w (implicit function theorem; Fiacco, "Introduction to Sensitivity and
Stability Analysis in Nonlinear Programming", 1983). One Newton step on F from the solved point,
with K held, has exactly this derivative, forwards and backwards.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from ...laws import Law
from ...recipe import Array
from ..solvers import RecipeProblem

POLISH = 2  # Newton steps before the one that is differentiated


def kkt_system(law: Law, theta: Array, problem: RecipeProblem, active: Array, w: Array) -> Array:
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


def differentiable_optimum(
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
    frozen = partial(kkt_system, law, theta_, problem_, active)

    def polished(_: int, w: Array) -> Array:
        step = jnp.linalg.pinv(jax.jacfwd(frozen)(w), rtol=1e-12) @ frozen(w)
        sound = jnp.all(jnp.isfinite(step)) & (jnp.max(jnp.abs(step)) < 1e-2)
        return w - jnp.where(sound, step, 0.0)

    w = held(jax.lax.fori_loop(0, POLISH, polished, held(w)))
    inverse = held(jnp.linalg.pinv(jax.jacfwd(frozen)(w), rtol=1e-12))
    moved = w - inverse @ kkt_system(law, theta, problem, active, w)
    d = u.shape[0]
    return moved[:d], moved[d:]
