"""Primal–dual interior point for many small problems side by side, every operation elementwise.

Minimises f(u) with slacks s_i(u) >= 0 by Mehrotra's predictor–corrector (Wright, "Primal-Dual
Interior-Point Methods", 1997, chapter 10). The perturbed KKT system, with multipliers m and
a_i = −∇s_i,

    ∇f + Σ_i m_i a_i = 0,   m_i s_i = μ

is reduced to

    (∇²f − Σ_i m_i ∇²s_i + Σ_i (m_i/s_i) a_i a_iᵀ) du = −(∇f + Σ_i p_i a_i)

first with p = 0 (predictor), then with p_i = (σμ + corrector_i)/s_i, σ = (μ of the predictor / μ)³.
Slacks are what the limits leave, so iterates keep every limit. The Hessian of `m3` need not be
positive definite: the L·D·Lᵀ factor takes the absolute values of its pivots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...computing import array_namespace
from ...recipe import Array
from ._limits import LIMIT_INDEX
from ._log_sum_exp import LogSumExp, computed_once, derivatives
from ._recipe_problem import RecipeProblem

TOLERANCE = 1e-10  # KKT residual, in log units
_FLOOR = 1e-12  # complementarity aimed for
_START = 1e-3  # complementarity begun with


class PrimalDualIterate(NamedTuple):
    """An iterate: d variables, m multipliers and the KKT residual, each (P,)."""

    u: list[Array]
    multipliers: list[Array]
    kkt: Array


def initial_iterate(problem: RecipeProblem, u: Array) -> PrimalDualIterate:
    """Iterate at points u (d, P) that keep every limit, with multipliers m = μ/s, 1 at most."""
    xp = array_namespace(u[0], problem.low)
    multipliers = [xp.minimum(_START / problem.slack(name, u), 1.0) for name in problem.rows]
    return PrimalDualIterate(list(u), multipliers, xp.full_like(u[0], xp.inf))


def _sigmoid(x: Array) -> Array:
    xp = array_namespace(x)
    return 1.0 / (1.0 + xp.exp(-x))


def slack_slopes(problem: RecipeProblem, name: str, u: Sequence[Array]) -> list[Array | int]:
    """Minus the gradient of a slack in u, (d,): entries are 0 where they vanish for all."""
    xp = array_namespace(u[0], problem.low)
    if name == "source_tokens" and problem.secant is not None:
        return [0, -problem.secant[1], -1, *[0] * (len(u) - 3)]
    if name == "source_tokens":
        # r + log(1 + e^(s − k)): in k minus the share of the exponential.
        limit = problem.sides[LIMIT_INDEX[name]]
        share = _sigmoid(xp.where(xp.isfinite(limit), limit, 1e9) - u[1])
        return [0, share, -1, *[0] * (len(u) - 3)]
    slopes = problem.slopes(name)
    if name == "compute" and problem.serves:
        _, k, r, _ = problem.z(u)
        share = _sigmoid(k - r - problem.serving)
        slopes = [1, share, *([-share] if len(u) > 2 else []), *[0] * (len(u) - 3)]
    return slopes


def slack_curvature(
    problem: RecipeProblem, name: str, u: Sequence[Array]
) -> dict[tuple[int, int], Array]:
    """Minus the Hessian of a slack in u."""
    if name == "source_tokens" and problem.secant is None:
        share = slack_slopes(problem, name, u)[1]
        return {(1, 1): -share * (1.0 - share)}
    if name == "compute" and problem.serves:
        share = slack_slopes(problem, name, u)[1]
        bend = share * (1.0 - share)
        return {(1, 1): bend, **({(2, 1): -bend, (2, 2): bend} if len(u) > 2 else {})}
    return {}


def factor(matrix: dict[tuple[int, int], Array], d: int) -> tuple[list[list[Array]], list[Array]]:
    """Unit lower factor and inverse pivots of L·D·Lᵀ, with pivots made positive."""
    xp = array_namespace(matrix[0, 0])
    lower: list[list[Array]] = [[] for _ in range(d)]
    pivots: list[Array] = []
    inverses: list[Array] = []
    for j in range(d):
        pivot = matrix[j, j]
        for k in range(j):
            pivot = pivot - lower[j][k] * lower[j][k] * pivots[k]
        pivot = xp.maximum(xp.abs(pivot), 1e-12)
        pivot, inverse = computed_once((pivot, 1.0 / pivot))
        pivots.append(pivot)
        inverses.append(inverse)
        for i in range(j + 1, d):
            entry = matrix[i, j]
            for k in range(j):
                entry = entry - lower[i][k] * lower[j][k] * pivots[k]
            lower[i].append(computed_once(entry * inverse))
    return lower, inverses


def solve_factored(
    lower: list[list[Array]], inverses: list[Array], right: Sequence[Array]
) -> list[Array]:
    """x of L·D·Lᵀ·x = right."""
    d = len(inverses)
    y: list[Array] = []
    for i in range(d):
        value = right[i]
        for k in range(i):
            value = value - lower[i][k] * y[k]
        y.append(computed_once(value))
    x = [y[i] * inverses[i] for i in range(d)]
    for i in reversed(range(d)):
        for k in range(i + 1, d):
            x[i] = x[i] - lower[k][i] * x[k]
        x[i] = computed_once(x[i])
    return x


def _dot(coefficients: Sequence[Array | int], x: Sequence[Array]) -> Array:
    """Σ c·x, with coefficients 0 and ±1 not multiplied by."""
    xp = array_namespace(x[0])
    total = None
    for c, value in zip(coefficients, x, strict=True):
        if isinstance(c, int):
            if c == 0:
                continue
            part = value if c == 1 else -value
        else:
            part = c * value
        total = part if total is None else total + part
    return xp.zeros_like(x[0]) if total is None else total


def _times(c: Array | int, value: Array) -> Array | None:
    if isinstance(c, int):
        return None if c == 0 else value if c == 1 else -value
    return c * value


def _shortened(
    problem: RecipeProblem, u: Sequence[Array], du: Sequence[Array], primal: Array
) -> Array:
    """A step no longer than that which leaves some of the bent budget; planes are never crossed."""
    xp = array_namespace(primal)
    before = problem.slack("compute", u)
    best = xp.zeros_like(primal)
    for share in (1 / 256, 1 / 64, 1 / 16, 1 / 4, 1 / 2, 1.0):
        trial = share * primal
        after = problem.slack("compute", [x + trial * dx for x, dx in zip(u, du, strict=True)])
        best = xp.where(after >= 0.005 * before, trial, best)
    return computed_once(best)


def step(terms: LogSumExp, problem: RecipeProblem, state: PrimalDualIterate) -> PrimalDualIterate:
    """One predictor–corrector iteration; see the module."""
    xp = array_namespace(state.kkt)
    d, rows = len(state.u), problem.rows
    u, multipliers = state.u, state.multipliers
    free = problem.free()
    held = [free[i] for i in range(d)]

    _, gradient, hessian = derivatives(terms, u)
    slopes = [slack_slopes(problem, name, u) for name in rows]
    slacks = [xp.maximum(problem.slack(name, state.u), 1e-14) for name in rows]
    inverse = [1.0 / s for s in slacks]
    weights = [m * s for m, s in zip(multipliers, inverse, strict=True)]
    gradient, hessian = computed_once((gradient, hessian))
    slacks, slopes = computed_once((slacks, slopes))
    inverse, weights = computed_once((inverse, weights))
    matrix = dict(hessian)
    for name, slope, weight, multiplier in zip(rows, slopes, weights, multipliers, strict=True):
        for i in range(d):
            first = _times(slope[i], weight)
            for j in range(i + 1):
                if first is not None and (entry := _times(slope[j], first)) is not None:
                    matrix[i, j] = matrix[i, j] + entry
        for at, bend in slack_curvature(problem, name, u).items():
            matrix[at] = matrix[at] + multiplier * bend
    for i in range(d):
        for j in range(i):
            matrix[i, j] = xp.where(held[i] & held[j], matrix[i, j], 0.0)
        matrix[i, i] = xp.where(held[i], matrix[i, i], 1.0)
    lower, pivots = factor(computed_once(matrix), d)

    def direction(push: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """Newton's du and what it does to each slack's row, for `push` in place of multipliers."""
        right = []
        for i in range(d):
            total = gradient[i]
            for slope, p in zip(slopes, push, strict=True):
                if (part := _times(slope[i], p)) is not None:
                    total = total + part
            right.append(xp.where(held[i], -total, 0.0))
        du = solve_factored(lower, pivots, computed_once(right))
        return du, computed_once([_dot(slope, du) for slope in slopes])

    def reach(values: Sequence[Array], changes: Sequence[Array]) -> Array:
        """Longest step in [0, 1] that keeps values + step·changes >= 0."""
        most = xp.ones_like(u[0])
        for v, c in zip(values, changes, strict=True):
            most = xp.maximum(most, -c / v)
        return computed_once(1.0 / most)  # = min(1, min over shrinking of v/(−c))

    count = len(rows)
    zero = xp.zeros_like(u[0])
    products = (m * s for m, s in zip(multipliers, slacks, strict=True))
    average = computed_once(sum(products, start=zero) / count)

    kkt = zero  # stationarity first, complementarity later
    for i in range(d):
        total = gradient[i]
        for slope, m in zip(slopes, multipliers, strict=True):
            if (part := _times(slope[i], m)) is not None:
                total = total + part
        kkt = xp.maximum(kkt, xp.where(held[i], xp.abs(total), 0.0))
    kkt = computed_once(kkt)

    # Predictor: how far towards complementarity zero one could go.
    du, moved = direction([zero] * count)
    dm = computed_once([w * a - m for w, a, m in zip(weights, moved, multipliers, strict=True)])
    primal, dual = reach(slacks, [-a for a in moved]), reach(multipliers, dm)
    after = zero
    for m, s, a, b in zip(multipliers, slacks, moved, dm, strict=True):
        after = after + (m + dual * b) * (s - primal * a)
    ratio = after / (count * average)
    target = xp.maximum(average * xp.clip(ratio * ratio * ratio, 0.0, 0.9), _FLOOR)
    if problem.serves:
        # Along a bent budget, keep off it until nearly stationary: steps there would be tiny.
        target = xp.maximum(target, 1e-3 * xp.minimum(kkt, 1.0))
    target = computed_once(target)
    # Corrector; ds·dm = −moved·dm.
    push = computed_once(
        [(target + a * b * primal * dual) * i for a, b, i in zip(moved, dm, inverse, strict=True)]
    )
    du, moved = direction(push)
    both = zip(push, weights, moved, multipliers, strict=True)
    dm = computed_once([p + w * a - m for p, w, a, m in both])
    longest = zero + 2.0  # a factor of e² at most
    for x in du:
        longest = xp.maximum(longest, xp.abs(x))
    primal = xp.minimum(0.995 * reach(slacks, [-a for a in moved]), 2.0 / longest)
    if problem.serves:
        primal = _shortened(problem, u, du, primal)
    dual = 0.995 * reach(multipliers, dm)

    for m, s in zip(multipliers, slacks, strict=True):
        kkt = xp.maximum(kkt, m * s)
    kkt, primal, dual = computed_once((kkt, primal, dual))
    # Converged problems wait for the others where they are.
    go = kkt > TOLERANCE
    primal, dual = xp.where(go, primal, 0.0), xp.where(go, dual, 0.0)
    return PrimalDualIterate(
        [x + primal * dx for x, dx in zip(u, du, strict=True)],
        [m + dual * b for m, b in zip(multipliers, dm, strict=True)],
        kkt,
    )


def solve_interior_point(
    terms: LogSumExp, problem: RecipeProblem, state: PrimalDualIterate, most: Array
) -> PrimalDualIterate:
    """Iterate until all problems have converged, `most` times at most."""

    if array_namespace(state.kkt) is np:
        for _ in range(int(most)):
            if not np.any(state.kkt > TOLERANCE):
                break
            state = step(terms, problem, state)
        return state

    def going(carry: tuple[PrimalDualIterate, Array]) -> Array:
        state, iteration = carry
        return jnp.any(state.kkt > TOLERANCE) & (iteration < most)

    def advance(carry: tuple[PrimalDualIterate, Array]) -> tuple[PrimalDualIterate, Array]:
        state, iteration = carry
        return step(terms, problem, state), iteration + 1

    state, _ = jax.lax.while_loop(going, advance, (state, jnp.asarray(0)))
    return state


def lower_bound(terms: LogSumExp, problem: RecipeProblem, state: PrimalDualIterate) -> Array:
    """A log loss that no allowed recipe is below, where the loss and limits are convex in u, (P,).

    Weak duality: for any multipliers m >= 0 the Lagrangian Λ(v) = F(v)/F(u) − Σ m_i s_i(v), of the
    loss F = e^f, is convex and no higher than F(v)/F(u) where limits are kept, so over the box of u

        F(v)/F(u) >= Λ(v) >= 1 − Σ m_i s_i(u) + Σ_j min over the box of ∂Λ/∂u_j · (v_j − u_j).

    Holds at any iterate; tight where the KKT conditions hold. Where no term dilutes f itself
    is convex, and the same of f is tighter.
    """
    xp = array_namespace(state.kkt)
    u = state.u
    loss, gradient, _ = derivatives(terms, u)
    slopes = [slack_slopes(problem, name, u) for name in problem.rows]
    less = xp.zeros_like(loss)
    for name, m in zip(problem.rows, state.multipliers, strict=True):
        less = less - m * problem.slack(name, u)
    for i, total in enumerate(gradient):
        for slope, m in zip(slopes, state.multipliers, strict=True):
            if (part := _times(slope[i], m)) is not None:
                total = total + part
        less = less + xp.minimum(total * (problem.low[i] - u[i]), total * (problem.high[i] - u[i]))
    if not terms.diluting:
        return loss + less
    some = less > -1.0
    return xp.where(some, loss + xp.log1p(xp.where(some, less, 0.0)), -xp.inf)
