"""Solve recipe problems of any differentiable law under any JAX constraint: the general way.

From the best of a low-discrepancy set of allowed points, Adam (optax) minimises the augmented
Lagrangian of f(u) with g_i(u) <= 0,

    f(u) + Σ_i max(0, m_i + ρ·g_i(u))² / (2ρ),   m_i <- max(0, m_i + ρ·g_i(u)) between rounds

(Nocedal & Wright, "Numerical Optimization", 2006, chapter 17). A polish, Newton's method on the
perturbed KKT system with slacks and exact Hessians, then converges to machine precision and returns
multipliers: its KKT residual shows that the answer is a local optimum.

Lanes, one for each descent of each problem, are last in all arrays.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from ._batched import LocalOptima, halton
from ._interior_point import factor, slack_curvature, slack_slopes, solve_factored
from ._limits import LIMIT_INDEX, LIMITS
from ._programs import NonlinearProgram, ProgramAt
from ._recipe_problem import DIMENSIONS, RecipeProblem

_ROUNDS, _STEPS, _RATE, _PENALTY = 5, 30, 0.1, 10.0
_TOLERANCE, _ITERATIONS = 1e-10, 100
_SHIFTS = (0.0, 0.01, 0.1, 1.0)  # of the multiple of the identity that makes a matrix definite
_DEFINITE = 1e-13  # the least pivot, in units of the diagonal
_KEPT = 1e-8  # a limit overstepped by less, in log units, counts as kept
_CALL = 512  # problems solved together


@dataclasses.dataclass(frozen=True)
class _Lanes:
    """What is solved in L lanes: the program's functions, and the limits that have names."""

    program: ProgramAt
    problem: RecipeProblem

    @property
    def total(self) -> int:
        """L."""
        return self.problem.low.shape[-1]

    def take(self, lanes: np.ndarray) -> _Lanes:
        """Some of the lanes."""
        return _Lanes(self.program.take(lanes), self.problem.take(lanes))

    def there(self) -> np.ndarray:
        """Which limits and constraints there are, (m, L) bool."""
        sides = [self.problem.sides[LIMIT_INDEX[name]] for name in self.problem.rows]
        own = np.ones((len(self.program.program.constraints), self.total), dtype=bool)
        return np.concatenate([np.isfinite(sides).reshape(-1, self.total), own])

    def at(self, u: np.ndarray, order: int = 0) -> _Evaluation:
        """Objective and excess of the limits at u (d, L), and as many derivatives as asked for."""
        problem, d = self.problem, len(u)
        found = self.program(u, order)
        named = np.array([-problem.slack(name, u) for name in problem.rows])
        excess = np.concatenate([named.reshape(-1, self.total), found.value[1:]])
        if order == 0:
            return _Evaluation(found.value[0], excess, None, None, None)
        slopes = np.zeros((len(problem.rows), *u.shape))
        for row, name in zip(slopes, problem.rows, strict=True):
            for i, slope in enumerate(slack_slopes(problem, name, list(u))):
                row[i] = slope
        jacobian = np.concatenate([slopes, found.gradient[1:]])
        if order == 1:
            return _Evaluation(found.value[0], excess, found.gradient[0], jacobian, None)
        bends = np.zeros((len(problem.rows), d, *u.shape))
        for matrix, name in zip(bends, problem.rows, strict=True):
            for (i, j), bend in slack_curvature(problem, name, list(u)).items():
                matrix[i, j] = matrix[j, i] = bend
        hessians = np.concatenate([found.hessian[:1], bends, found.hessian[1:]])
        return _Evaluation(found.value[0], excess, found.gradient[0], jacobian, hessians)


class _Evaluation(NamedTuple):
    """Objective (L,), excess of limits (m, L); gradient (d, L), Jacobian of the excess (m, d, L).

    `hessians` are of the objective and of each excess, (1 + m, d, d, L).
    """

    value: np.ndarray
    excess: np.ndarray
    gradient: Any
    jacobian: Any
    hessians: Any


@lru_cache(maxsize=1)
def _adam() -> tuple[Any, Any]:
    """Adam's first state, and its step for arrays (d, L)."""
    import optax  # a fifth of a second, which most questions can do without

    optimiser = optax.adam(optax.cosine_decay_schedule(_RATE, _ROUNDS * _STEPS, 0.02))
    return optimiser.init, jax.jit(optimiser.update)


def _descend(lanes: _Lanes, u: np.ndarray) -> np.ndarray:
    """Adam on the augmented Lagrangian, multipliers updated between rounds."""
    there, free, problem = lanes.there(), lanes.problem.free(), lanes.problem
    init, update = _adam()
    state, multipliers = init(u), np.zeros(there.shape)
    for _ in range(_ROUNDS):
        for _ in range(_STEPS):
            at = lanes.at(u, 1)
            pressure = np.maximum(multipliers + _PENALTY * np.where(there, at.excess, -1.0), 0.0)
            pressure = np.where(there, pressure, 0.0)
            gradient = at.gradient + np.einsum("ml,mdl->dl", pressure, at.jacobian)
            step, state = update(np.where(free, gradient, 0.0), state)
            u = np.clip(u + np.asarray(step), problem.low, problem.high)
        excess = np.where(there, lanes.at(u).excess, -np.inf)
        multipliers = np.maximum(multipliers + _PENALTY * np.maximum(excess, -1e3), 0.0)
    return u


class _PolishIterate(NamedTuple):
    u: np.ndarray
    slack: np.ndarray
    multipliers: np.ndarray


def _polish(lanes: _Lanes, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Primal–dual interior point from u; returns u, multipliers (m, L) and KKT residual (L,)."""
    there = lanes.there()
    excess = np.where(there, lanes.at(u).excess, -1.0)
    slack = np.where(there, np.maximum(-excess, 1e-3), 1.0)
    multipliers = np.where(there, np.minimum(1e-3 / slack, 1e-1), 0.0)
    state = _PolishIterate(u, slack, multipliers)
    ends = _PolishIterate(*(leaf.copy() for leaf in state))
    kkt, left = np.full(lanes.total, np.inf), np.arange(lanes.total)
    for iteration in range(_ITERATIONS + 1):
        at = lanes.at(state.u, 2)
        residual = _residual(lanes, at, state)
        for end, leaf in zip(ends, state, strict=True):
            end[..., left] = leaf
        kkt[left] = residual if iteration else np.inf
        going = np.flatnonzero(~(kkt[left] <= _TOLERANCE) & (iteration < _ITERATIONS))
        if not len(going):
            break
        if len(going) < len(left):
            left, lanes = left[going], lanes.take(going)
            state, at = jax.tree.map(lambda leaf, going=going: leaf[..., going], (state, at))
        state = _newton(lanes, at, state)
    return ends.u, ends.multipliers, kkt


def _residual(lanes: _Lanes, at: _Evaluation, state: _PolishIterate) -> np.ndarray:
    """Stationarity, feasibility and complementarity, whichever is worst, (L,)."""
    moving, there = lanes.problem.free(), lanes.there()
    gradient = at.gradient + np.einsum("ml,mdl->dl", state.multipliers, at.jacobian)
    over = np.where(there, at.excess, 0.0)
    worst = [np.where(moving, np.abs(gradient), 0.0), np.maximum(over, 0.0)]
    worst.append(np.abs(state.multipliers * over))
    return np.concatenate(worst).max(axis=0)


def _newton(lanes: _Lanes, at: _Evaluation, state: _PolishIterate) -> _PolishIterate:
    """One step on the perturbed KKT system."""
    u, slack, multipliers = state
    there, moving = lanes.there(), lanes.problem.free()
    jacobian = np.where(there[:, None] & moving, at.jacobian, 0.0)
    gradient = at.gradient + np.einsum("ml,mdl->dl", multipliers, at.jacobian)
    primal = np.where(there, at.excess + slack, 0.0)
    count = np.maximum(there.sum(axis=0), 1)
    target = 0.1 * np.sum(np.where(there, multipliers * slack, 0.0), axis=0) / count

    weights = np.concatenate([np.ones((1, lanes.total)), np.where(there, multipliers, 0.0)])
    hessian = np.einsum("ml,mijl->lij", weights, at.hessians)
    both = moving.T[:, :, None] & moving.T[:, None, :]
    hessian = np.where(both, hessian, 0.0)
    # Least multiple of the identity, out of four, that makes the system definite; the last one
    # always does (Gershgorin).
    diagonal = np.einsum("lii->li", hessian)
    off = np.abs(hessian).sum(axis=2) - np.abs(diagonal)
    enough = np.maximum((off - diagonal).max(axis=1), 0.0) + 1e-9
    weight = np.where(there, multipliers / slack, 0.0)
    base = hessian + np.einsum("mil,mjl->lij", jacobian * weight[:, None], jacobian)
    base = base + np.where(moving.T, 0.0, 1.0)[:, :, None] * np.eye(len(u))
    sound = np.isfinite(base).all(axis=(1, 2)) & np.isfinite(enough)
    base, enough = np.where(sound[:, None, None], base, np.eye(len(u))), np.where(sound, enough, 0)
    shifted = base + (np.array(_SHIFTS)[:, None] * enough)[..., None, None] * np.eye(len(u))
    # In variables scaled to a unit diagonal: near a limit its weight is beyond all others.
    scale = 1 / np.sqrt(np.maximum(np.abs(np.einsum("slii->sli", shifted)), 1e-300))
    shifted = shifted * scale[..., None] * scale[..., None, :]
    definite = _least_pivot(shifted) > _DEFINITE
    definite[-1] = True
    chosen = np.argmax(definite, axis=0), np.arange(lanes.total)
    matrix, scale = shifted[chosen].transpose(1, 2, 0), scale[chosen].T

    push = np.where(there, (target + multipliers * primal) / slack - multipliers, 0.0)
    right = gradient + np.einsum("mdl,ml->dl", jacobian, push)
    sound &= np.isfinite(right).all(axis=0)
    right = np.where(sound, right, 0.0) * scale
    pairs = {(i, j): matrix[i, j] for i in range(len(u)) for j in range(i + 1)}
    du = -scale * np.array(solve_factored(*factor(pairs, len(u)), list(right)))
    du = np.where(moving & sound & np.isfinite(du).all(axis=0), du, 0.0)
    du = du / np.maximum(1.0, np.abs(du).max(axis=0))  # a factor of e at most
    ds = np.where(there, -primal - np.einsum("mdl,dl->ml", jacobian, du), 0.0)
    dm = np.where(there, (target - multipliers * slack - multipliers * ds) / slack, 0.0)

    def reach(values: np.ndarray, changes: np.ndarray) -> np.ndarray:
        falls = changes < 0
        room = np.where(falls, -0.995 * values / np.where(falls, changes, 1.0), 1.0)
        return np.minimum(room.min(axis=0, initial=1.0), 1.0)

    ahead, dual = reach(slack, ds), reach(multipliers, dm)
    return _PolishIterate(u + ahead * du, slack + ahead * ds, multipliers + dual * dm)


def _least_pivot(matrix: np.ndarray) -> np.ndarray:
    """The least pivot (...) of symmetric matrices (..., d, d); above zero, they are definite."""
    left, least = matrix.copy(), np.full(matrix.shape[:-2], np.inf)
    while left.shape[-1]:
        pivot, row = left[..., 0, 0], left[..., 0, 1:]
        least = np.minimum(least, pivot)
        left = left[..., 1:, 1:] - row[..., None] * (row / pivot[..., None])[..., None, :]
    return least


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
        some = np.arange(start, min(start + _CALL, total))
        own = jax.tree.map(lambda leaf, some=some: leaf[some], args)
        with np.errstate(all="ignore"):  # what is not finite is refused
            parts.append(_solve(program, own, problem.take(some), spread, descents))
    z, loss, m, kkt, agreement, over = (
        np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)
    )
    multipliers = np.zeros((len(LIMITS), total))
    names = [*problem.rows, *(name for name, _ in program.constraints)]
    for name, multiplier in zip(names, m, strict=True):
        multipliers[LIMIT_INDEX[name]] += multiplier
    unproven = np.full(total, np.inf)
    return LocalOptima(z, loss, multipliers, kkt, agreement, unproven), over


def _solve(
    program: NonlinearProgram, args: Any, problem: RecipeProblem, spread: int, descents: int
) -> tuple[np.ndarray, ...]:
    """z (4, P), value, multipliers (m, P), KKT residual, agreement and violation (P,)."""
    total, d = problem.log_tokens.shape[-1], DIMENSIONS[problem.regime]
    lanes = _Lanes(ProgramAt.of(program, args, problem), problem)

    def judged(lanes: _Lanes, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = lanes.at(u)
        over = np.where(lanes.there(), at.excess, -np.inf).max(axis=0, initial=-np.inf)
        return np.where(np.isfinite(at.value), at.value, np.inf), over

    cube = 0.03 + 0.94 * halton(spread, d).T[..., None]
    placed = np.array([np.broadcast_to(x, (spread, total)) for x in problem.place(cube)])
    points = placed.reshape(d, -1)
    losses, over = judged(lanes.take(np.tile(np.arange(total), spread)), points)
    # Points that break a constraint of the user's come after all that do not.
    order = np.where(over > _KEPT, 1e3 + over, losses).reshape(spread, total)
    chosen = np.argsort(order, axis=0, kind="stable")[:descents]
    starts = placed[:, chosen, np.arange(total)].reshape(d, -1)

    each = lanes.take(np.tile(np.arange(total), descents))
    # Also from the start itself: in a sharp corner Adam may end beyond a limit. A mean over draws
    # has none, and the polish finds from the starts what it finds from there.
    smooth = program.over_draws is not None and program.over_draws[0] in ("mean", "mean_log")
    begun = starts if smooth else np.concatenate([_descend(each, starts), starts], axis=1)
    ways = begun.shape[1] // each.total
    each_way = each.take(np.tile(np.arange(each.total), ways))
    u, multipliers, kkt = _polish(each_way, begun)
    # Should the polish fail, the best allowed point it began from stands, unproven.
    ends = np.concatenate([u, begun], axis=1)
    losses, over = judged(each_way.take(np.tile(np.arange(each_way.total), 2)), ends)
    values = np.where(over <= _KEPT, losses, np.inf)

    def by_problem(leaf: np.ndarray) -> np.ndarray:
        return leaf.reshape(*leaf.shape[:-1], -1, total)

    unpolished = np.full(begun.shape[1], np.inf)
    multipliers = np.concatenate([multipliers, np.zeros_like(multipliers)], axis=1)
    kkt = np.concatenate([kkt, unpolished])
    values, ends, multipliers, kkt = map(by_problem, (values, ends, multipliers, kkt))
    best, every = np.argmin(values, axis=0), np.arange(total)
    # Of each descent the best of its ends.
    of_descent = values.reshape(2 * ways, descents, total).min(axis=0)
    value = values[best, every]
    with np.errstate(invalid="ignore"):
        agreement = np.mean(of_descent <= value + 1e-6, axis=0)
    z = np.array(problem.z(ends[:, best, every]))
    return (
        z,
        value,
        multipliers[:, best, every],
        kkt[best, every],
        agreement,
        by_problem(over).min(axis=0),
    )
