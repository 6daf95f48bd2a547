"""Solve recipe problems of any differentiable law under any JAX constraint: the general way.

From the best of a low-discrepancy set of allowed points, Adam (optax) minimises the augmented
Lagrangian of f(u) with g_i(u) <= 0,

    f(u) + Σ_i max(0, m_i + ρ·g_i(u))² / (2ρ),   m_i <- max(0, m_i + ρ·g_i(u)) between rounds

(Nocedal & Wright, "Numerical Optimization", 2006, chapter 17). A polish, Newton's method on the
perturbed KKT system with slacks and exact Hessians, then converges to machine precision and returns
multipliers: its KKT residual shows that the answer is a local optimum. Written for one problem;
`vmap` batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.linalg import cho_solve

from ...computing import jit_by_first
from ...recipe import Array, Recipe
from ._batched import LocalOptima, halton
from ._limits import LIMIT_INDEX, LIMITS
from ._recipe_problem import DIMENSIONS, RecipeProblem

_ROUNDS, _STEPS, _RATE, _PENALTY = 5, 30, 0.1, 10.0
_TOLERANCE, _ITERATIONS = 1e-10, 100
_KEPT = 1e-8  # a limit overstepped by less, in log units, counts as kept
_CALL = 512  # problems in one compiled call

Objective = Callable[[Any, Recipe], Array]  # (arguments, recipe) -> log loss or the like


class NonlinearProgram(NamedTuple):
    """What is solved, beside the limits of a `RecipeProblem`.

    Attributes:
        objective: (arguments, recipe) -> what is to be minimised.
        constraints: named in `LIMITS`, each g(arguments, recipe) <= 0.
    """

    objective: Objective
    constraints: tuple[tuple[str, Objective], ...] = ()


def _excess(program: NonlinearProgram, args: Any, problem: RecipeProblem, u: Array) -> Array:
    """How far each limit is overstepped, (m,)."""
    own = [jnp.atleast_1d(problem.excess(u))]
    if program.constraints:
        recipe = problem.recipe(u)
        own.append(jnp.stack([g(args, recipe) for _, g in program.constraints]))
    return jnp.concatenate(own)


def _there(program: NonlinearProgram, problem: RecipeProblem) -> Array:
    limits = jnp.stack([problem.sides[LIMIT_INDEX[name]] for name in problem.rows])
    return jnp.concatenate([jnp.isfinite(limits), jnp.ones(len(program.constraints), bool)])


def _descend(program: NonlinearProgram, args: Any, problem: RecipeProblem, u: Array) -> Array:
    """Adam on the augmented Lagrangian, multipliers updated between rounds."""
    there, free = _there(program, problem), problem.free()
    optimiser = optax.adam(optax.cosine_decay_schedule(_RATE, _ROUNDS * _STEPS, 0.02))

    def lagrangian(u: Array, multipliers: Array) -> Array:
        excess = jnp.where(there, _excess(program, args, problem, u), -1.0)
        pressure = jnp.maximum(multipliers + _PENALTY * excess, 0.0)
        penalty = jnp.sum(jnp.where(there, pressure**2, 0.0)) / (2 * _PENALTY)
        return program.objective(args, problem.recipe(u)) + penalty

    def one_step(carry: Any, _: None) -> tuple[Any, None]:
        u, multipliers, state = carry
        gradient = jnp.where(free, jax.grad(lagrangian)(u, multipliers), 0.0)
        updates, state = optimiser.update(gradient, state, u)
        u = jnp.clip(optax.apply_updates(u, updates), problem.low, problem.high)
        return (u, multipliers, state), None

    def one_round(carry: Any, _: None) -> tuple[Any, None]:
        (u, multipliers, state), _ = jax.lax.scan(one_step, carry, None, length=_STEPS)
        excess = jnp.where(there, _excess(program, args, problem, u), -jnp.inf)
        multipliers = jnp.maximum(multipliers + _PENALTY * jnp.maximum(excess, -1e3), 0.0)
        return (u, multipliers, state), None

    zero = jnp.zeros(there.shape, u.dtype)
    (u, _, _), _ = jax.lax.scan(one_round, (u, zero, optimiser.init(u)), None, length=_ROUNDS)
    return u


class _PolishIterate(NamedTuple):
    u: Array
    slack: Array
    multipliers: Array
    kkt: Array
    iteration: Array


def _polish(
    program: NonlinearProgram, args: Any, problem: RecipeProblem, u: Array
) -> tuple[Array, Array, Array]:
    """Primal–dual interior point from u; returns u, multipliers and KKT residual."""
    there, moving = _there(program, problem), problem.free()
    m = jnp.maximum(jnp.sum(there), 1)

    def excess(u: Array) -> Array:
        return jnp.where(there, _excess(program, args, problem, u), -1.0)

    def lagrangian(u: Array, multipliers: Array) -> Array:
        penalty = jnp.sum(jnp.where(there, multipliers * excess(u), 0.0))
        return program.objective(args, problem.recipe(u)) + penalty

    def step(state: _PolishIterate) -> _PolishIterate:
        u, slack, multipliers = state.u, state.slack, state.multipliers
        d = u.shape[0]
        jacobian = jnp.where(there[:, None] & moving, jax.jacfwd(excess)(u), 0.0)
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
        factors = jnp.linalg.cholesky(base + shifts[:, None, None] * jnp.eye(d, dtype=u.dtype))
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
        return _PolishIterate(u, slack, multipliers, residual(u, multipliers), state.iteration + 1)

    def residual(u: Array, multipliers: Array) -> Array:
        """Stationarity, feasibility and complementarity, whichever is worst."""
        gradient = jnp.where(moving, jax.grad(lagrangian)(u, multipliers), 0.0)
        over = jnp.where(there, excess(u), 0.0)
        worst = [jnp.abs(gradient), jnp.maximum(over, 0.0), jnp.abs(multipliers * over)]
        return jnp.max(jnp.concatenate(worst))

    slack = jnp.where(there, jnp.maximum(-excess(u), 1e-3), 1.0)
    multipliers = jnp.where(there, jnp.minimum(1e-3 / slack, 1e-1), 0.0).astype(u.dtype)
    state = _PolishIterate(u, slack, multipliers, jnp.asarray(jnp.inf, u.dtype), jnp.asarray(0))
    state = jax.lax.while_loop(
        lambda s: (s.kkt > _TOLERANCE) & (s.iteration < _ITERATIONS), step, state
    )
    return state.u, state.multipliers, state.kkt


@partial(jit_by_first, static_argnames=("spread", "descents"))
def _solve_lanes(
    program: NonlinearProgram, args: Any, problem: RecipeProblem, *, spread: int, descents: int
) -> Any:
    """A batch, lanes last in `problem` and first in `args`."""

    def solve_lane(args: Any, problem: RecipeProblem) -> Any:
        there = _there(program, problem)

        def judged(u: Array) -> tuple[Array, Array]:
            loss = program.objective(args, problem.recipe(u))
            over = jnp.where(there, _excess(program, args, problem, u), -jnp.inf)
            return jnp.where(jnp.isfinite(loss), loss, jnp.inf), jnp.max(over)

        d = DIMENSIONS[problem.regime]
        cube = jnp.asarray(0.03 + 0.94 * halton(spread, d), problem.low.dtype)
        points = jax.vmap(lambda q: jnp.stack(problem.place(q)))(cube)
        losses, over = jax.vmap(judged)(points)
        # Points that break a constraint of the user's come after all that do not.
        order = jnp.where(over > _KEPT, 1e3 + over, losses)
        _, chosen = jax.lax.top_k(-order, descents)

        def run(start: Array) -> tuple[Array, Array, Array, Array, Array]:
            near = _descend(program, args, problem, start)
            # Also from the start itself: in a sharp corner Adam may end beyond a limit.
            begun = jnp.stack([near, start])
            u, multipliers, kkt = jax.vmap(lambda x: _polish(program, args, problem, x))(begun)
            # Should the polish fail, the best allowed point it began from stands, unproven.
            ends = jnp.concatenate([u, begun])
            losses, over = jax.vmap(judged)(ends)
            values = jnp.where(over <= _KEPT, losses, jnp.inf)
            best = jnp.argmin(values)
            polished, which = best < 2, jnp.minimum(best, 1)
            return (
                ends[best],
                values[best],
                jnp.where(polished, multipliers[which], 0.0),
                jnp.where(polished, kkt[which], jnp.inf),
                jnp.min(over),
            )

        u, value, multipliers, kkt, over = jax.vmap(run)(points[chosen])
        best = jnp.argmin(value)
        agreement = jnp.mean(value <= value[best] + 1e-6)
        z = jnp.stack(problem.z(u[best]))
        return z, value[best], multipliers[best], kkt[best], agreement, jnp.min(over)

    return jax.vmap(solve_lane, in_axes=(0, -1))(args, problem)


def solve_general(
    program: NonlinearProgram,
    args: Any,
    problem: RecipeProblem,
    *,
    spread: int = 128,
    descents: int = 6,
) -> tuple[LocalOptima, np.ndarray]:
    """Solve P problems of one regime; leaves of `args` have P first.

    Returns the optima and the least violation found, (P,): where that is above zero, and the log
    loss infinite, no point was found that keeps the constraints given as functions.
    """
    total = problem.log_tokens.shape[-1]
    parts = []
    for start in range(0, total, _CALL):
        count = min(_CALL, total - start)
        # Repeat the last up to a power of two, 16 at least, so that few shapes are ever compiled.
        full = np.minimum(
            np.arange(1 << max(4, (count - 1).bit_length())) + start, start + count - 1
        )
        lane_args = jax.tree.map(lambda leaf, f=full: leaf[f], args)
        solution = _solve_lanes(
            program, lane_args, problem.take(full), spread=spread, descents=descents
        )
        parts.append([np.asarray(leaf)[:count] for leaf in solution])
    z, loss, m, kkt, agreement, over = (np.concatenate(part) for part in zip(*parts, strict=True))
    multipliers = np.zeros((len(LIMITS), total))
    names: Sequence[str] = [*problem.rows, *(name for name, _ in program.constraints)]
    for i, name in enumerate(names):
        multipliers[LIMIT_INDEX[name]] += m[:, i]
    unproven = np.full(total, np.inf)
    return LocalOptima(z.T, loss, multipliers, kkt, agreement, unproven), over
