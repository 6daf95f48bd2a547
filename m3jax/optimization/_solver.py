"""Solve one recipe problem: optax from many starts, then an interior-point polish; `vmap` batches.

The descent (Adam on an augmented Lagrangian) finds the valley; the polish (primal–dual Newton with
exact Hessians) finds its floor to machine precision and returns multipliers, from which the KKT
residual proves that the answer is a local optimum.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.linalg import cho_solve

from ..laws import Law
from ..recipe import Array, Recipe
from ._problem import Problem

_ROUNDS, _STEPS, _RATE, _PENALTY = 5, 30, 0.1, 10.0
_TOLERANCE, _ITERATIONS = 1e-10, 60
_KEPT = 1e-8  # a limit overstepped by less, in log units, counts as kept


class Optimum(NamedTuple):
    """The best point found for one regime of one problem.

    Attributes:
        u: (4,), see `Problem`.
        recipe: what it stands for, leaves ().
        log_loss: ().
        multipliers: of each limit, (14,), d(log loss) / d(log limit) with the sign turned.
        kkt: largest violation of the KKT conditions, in log units, ().
        agreement: share of starts that ended within 1e-6 of the best log loss, ().
    """

    u: Array
    recipe: Recipe
    log_loss: Array
    multipliers: Array
    kkt: Array
    agreement: Array


def halton(count: int, dimensions: int = 4) -> np.ndarray:
    """Low-discrepancy points in the unit cube, (count, dimensions); the first is its middle."""
    points = np.empty((count, dimensions))
    for j, base in enumerate((2, 3, 5, 7)[:dimensions]):
        for i in range(count):
            value, scale, n = 0.0, 1.0, i + 1
            while n:
                scale /= base
                value += scale * (n % base)
                n //= base
            points[i, j] = value
    points[0] = 0.5
    return points


def feasible_starts(problem: Problem, count: int) -> Array:
    """Spread points that keep every limit, shape (count, 4).

    Points of the box, drawn towards the least demanding corner until they are inside.
    """
    cube = jnp.asarray(halton(count), dtype=problem.low.dtype)
    points = problem.low + cube * (problem.high - problem.low)
    return jax.vmap(lambda u: pull_inside(problem, u))(points)


def pull_inside(problem: Problem, u: Array) -> Array:
    """The first point on the way from u to the corner that keeps every limit."""
    steps = jnp.append(1.0 - jnp.linspace(0.0, 1.0, 24) ** 1.5, 0.0).astype(u.dtype)
    along = problem.corner + steps[:, None] * (u - problem.corner)
    margin = jnp.max(
        jnp.where(problem.binding(), jax.vmap(problem.excess)(along), -jnp.inf), axis=1
    )
    return along[jnp.argmax(margin <= 1e-12)]  # the corner comes last and keeps them all


_Descent = tuple[Array, Array, optax.OptState]  # u, multipliers, optimiser state


def _descend(law: Law, theta: Array, problem: Problem, u: Array) -> Array:
    """Adam on the augmented Lagrangian, multipliers updated between rounds."""
    there = problem.binding()
    optimiser = optax.adam(optax.cosine_decay_schedule(_RATE, _ROUNDS * _STEPS, 0.02))

    def lagrangian(u: Array, multipliers: Array) -> Array:
        excess = jnp.where(there, problem.excess(u), -1.0)
        pressure = jnp.maximum(multipliers + _PENALTY * excess, 0.0)
        penalty = jnp.sum(jnp.where(there, pressure**2, 0.0)) / (2 * _PENALTY)
        return law.log_loss_theta(theta, problem.recipe(u)) + penalty

    def one_step(carry: _Descent, _: None) -> tuple[_Descent, None]:
        u, multipliers, state = carry
        updates, state = optimiser.update(jax.grad(lagrangian)(u, multipliers), state, u)
        return (optax.apply_updates(u, updates), multipliers, state), None

    def one_round(carry: _Descent, _: None) -> tuple[_Descent, None]:
        (u, multipliers, state), _ = jax.lax.scan(one_step, carry, None, length=_STEPS)
        excess = jnp.where(there, problem.excess(u), -jnp.inf)
        multipliers = jnp.maximum(multipliers + _PENALTY * jnp.maximum(excess, -1e3), 0.0)
        return (u, multipliers, state), None

    zero = jnp.zeros(there.shape, u.dtype)
    (u, _, _), _ = jax.lax.scan(one_round, (u, zero, optimiser.init(u)), None, length=_ROUNDS)
    return u


class _State(NamedTuple):
    u: Array
    slack: Array
    multipliers: Array
    kkt: Array
    iteration: Array


@partial(jax.jit, static_argnames="law")  # traced once for all its callers
def _polish(law: Law, theta: Array, problem: Problem, u: Array) -> tuple[Array, Array, Array]:
    """Primal–dual interior point from u; returns u, multipliers and KKT residual."""
    there, moving = problem.binding(), problem.moving()
    m = jnp.maximum(jnp.sum(there), 1)

    def loss(u: Array) -> Array:
        return law.log_loss_theta(theta, problem.recipe(u))

    def excess(u: Array) -> Array:
        return jnp.where(there, problem.excess(u), -1.0)

    def lagrangian(u: Array, multipliers: Array) -> Array:
        return loss(u) + jnp.sum(jnp.where(there, multipliers * excess(u), 0.0))

    def step(state: _State) -> _State:
        u, slack, multipliers = state.u, state.slack, state.multipliers
        jacobian = jnp.where(there[:, None], jax.jacfwd(excess)(u), 0.0)
        gradient = jax.grad(lagrangian)(u, multipliers)
        primal = jnp.where(there, excess(u) + slack, 0.0)
        target = 0.1 * jnp.sum(jnp.where(there, multipliers * slack, 0.0)) / m

        hessian = jax.hessian(lagrangian)(u, multipliers)
        hessian = jnp.where(moving[:, None] & moving[None, :], hessian, 0.0)
        weight = jnp.where(there, multipliers / slack, 0.0)
        # Least multiple of the identity, out of four, that makes the system definite; the last one
        # always does (Gershgorin).
        off = jnp.sum(jnp.abs(hessian), axis=1) - jnp.abs(jnp.diagonal(hessian))
        enough = jnp.maximum(jnp.max(off - jnp.diagonal(hessian)), 0.0) + 1e-9
        shifts = jnp.array([0.0, 0.01, 0.1, 1.0], u.dtype) * enough
        base = hessian + (jacobian.T * weight) @ jacobian + jnp.diag(jnp.where(moving, 0.0, 1.0))
        factors = jnp.linalg.cholesky(base + shifts[:, None, None] * jnp.eye(4, dtype=u.dtype))
        definite = jnp.all(jnp.isfinite(factors), axis=(1, 2))
        factor = factors[jnp.argmax(definite)]

        push = jnp.where(there, (target + multipliers * primal) / slack - multipliers, 0.0)
        du = -cho_solve((factor, True), gradient + jacobian.T @ push)
        du = jnp.where(moving & jnp.all(jnp.isfinite(du)), du, 0.0)
        du = du / jnp.maximum(1.0, jnp.max(jnp.abs(du)))  # a factor of e at most
        ds = jnp.where(there, -primal - jacobian @ du, 0.0)
        dm = jnp.where(there, (target - multipliers * slack - multipliers * ds) / slack, 0.0)
        ahead = jnp.min(jnp.where(ds < 0, -0.995 * slack / jnp.where(ds < 0, ds, 1.0), 1.0))
        dual = jnp.min(jnp.where(dm < 0, -0.995 * multipliers / jnp.where(dm < 0, dm, 1.0), 1.0))
        ahead, dual = jnp.minimum(ahead, 1.0), jnp.minimum(dual, 1.0)
        u, slack = u + ahead * du, slack + ahead * ds
        multipliers = multipliers + dual * dm
        return _State(u, slack, multipliers, residual(u, multipliers), state.iteration + 1)

    def residual(u: Array, multipliers: Array) -> Array:
        """Stationarity, feasibility and complementarity, whichever is worst."""
        gradient = jnp.where(moving, jax.grad(lagrangian)(u, multipliers), 0.0)
        over = jnp.where(there, excess(u), 0.0)
        worst = [jnp.abs(gradient), jnp.maximum(over, 0.0), jnp.abs(multipliers * over)]
        return jnp.max(jnp.concatenate(worst))

    slack = jnp.where(there, jnp.maximum(-excess(u), 1e-3), 1.0)
    multipliers = jnp.where(there, jnp.minimum(1e-3 / slack, 1e-1), 0.0).astype(u.dtype)
    state = _State(u, slack, multipliers, jnp.asarray(jnp.inf, u.dtype), jnp.asarray(0))
    state = jax.lax.while_loop(
        lambda s: (s.kkt > _TOLERANCE) & (s.iteration < _ITERATIONS), step, state
    )
    return state.u, state.multipliers, state.kkt


def _best(law: Law, theta: Array, problem: Problem, starts: Array, descend: bool) -> Optimum:
    """Solve from every start (S, 4) and keep the best feasible end."""

    def loss(u: Array) -> Array:
        value = law.log_loss_theta(theta, problem.recipe(u))
        over = jnp.max(jnp.where(problem.binding(), problem.excess(u), -jnp.inf))
        return jnp.where(jnp.isfinite(value) & (over <= _KEPT), value, jnp.inf)

    def run(start: Array) -> tuple[Array, Array, Array, Array]:
        near = pull_inside(problem, _descend(law, theta, problem, start)) if descend else start
        u, multipliers, kkt = _polish(law, theta, problem, near)
        value = loss(u)
        # Should the polish fail, the feasible point it began from still stands, unproven.
        before = loss(near)
        keep = value <= before
        return (
            jnp.where(keep, u, near),
            jnp.where(keep, value, before),
            jnp.where(keep, multipliers, 0.0),
            jnp.where(keep, kkt, jnp.inf),
        )

    u, value, multipliers, kkt = jax.vmap(run)(starts)
    best = jnp.argmin(value)
    agreement = jnp.mean(value <= value[best] + 1e-6)
    recipe = problem.recipe(u[best])
    return Optimum(u[best], recipe, value[best], multipliers[best], kkt[best], agreement)


@partial(jax.jit, static_argnames=("law", "spread", "descents"))
def solve(
    law: Law, theta: Array, problem: Problem, *, spread: int = 128, descents: int = 6
) -> Optimum:
    """Solve a batch from scratch: `theta` (P, p), problems with leading axis P.

    Of `spread` feasible points the best `descents` are descended from with optax and polished.
    """

    def one(theta: Array, problem: Problem) -> Optimum:
        points = feasible_starts(problem, spread)
        values = jax.vmap(lambda u: law.log_loss_theta(theta, problem.recipe(u)))(points)
        _, chosen = jax.lax.top_k(-jnp.where(jnp.isfinite(values), values, jnp.inf), descents)
        return _best(law, theta, problem, points[chosen], descend=True)

    return jax.vmap(one)(theta, problem)


@partial(jax.jit, static_argnames=("law", "spread"))
def solve_draws(
    law: Law, draws: Array, problem: Problem, warm: Array, *, spread: int = 32
) -> Optimum:
    """Solve a batch for each coefficient draw: `draws` (P, B, p), `warm` (P, 4) a good start.

    Polishes from the warm start and from the best of `spread` feasible points; leading axes (P, B).
    """

    def one(draws: Array, problem: Problem, warm: Array) -> Optimum:
        points = feasible_starts(problem, spread)
        inside = pull_inside(problem, warm)

        def per_draw(theta: Array) -> Optimum:
            values = jax.vmap(lambda u: law.log_loss_theta(theta, problem.recipe(u)))(points)
            other = points[jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))]
            return _best(law, theta, problem, jnp.stack([inside, other]), descend=False)

        return jax.vmap(per_draw)(draws)

    return jax.vmap(one)(draws, problem, warm)
