"""Proof that a recipe is the best one: spatial branch and bound, convex in each box.

What keeps `m3` from being convex in u are two features of (log k, log r) alone (Falk & Soland 1969
treat such separable problems). In a box of (log k, log r) each is replaced by an affine function
that can only lower the loss:

    log ρ(k; R), concave in log k            by its secant, below it
    log(1 + τ·k·(1/r − 1)), exponent < 0     by a plane above it
    unique source text, r + log(1 + S/(k·D_T)) >= 0   by the secant in log k, which only allows more

What is left is a geometric program whose duality bound (`lower_bound`) holds in the whole box.
Boxes that may hold something better than the best loss known, by more than the gap, are halved.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from ...computing import array_namespace
from ...recipe import MONOLINGUAL, Array
from ._batched import map_lanes, solve_paths
from ._faces import with_limits
from ._interior_point import PrimalDualIterate, initial_iterate, lower_bound
from ._limits import LIMIT_INDEX
from ._log_sum_exp import LogSumExp, log_repetition_derivatives, log_sum_exp, log_text_derivatives
from ._recipe_problem import DIMENSIONS, RecipeProblem

_ROUNDS = 60
_MARGIN = 0.9  # of the gap asked for that boxes are closed at


class ProvenBounds(NamedTuple):
    """Of P problems: proven lower bound of the log loss, and the best point seen on the way.

    Attributes:
        bound: (P,).
        log_loss: (P,), at u.
        u: (d, P).
    """

    bound: np.ndarray
    log_loss: np.ndarray
    u: np.ndarray


def convex_relaxation(
    terms: LogSumExp, problem: RecipeProblem
) -> tuple[LogSumExp, RecipeProblem, PrimalDualIterate]:
    """The convex relaxation of the problem in a box, and an iterate to start from."""
    xp = array_namespace(terms.constant)
    constant = [terms.constant[j] for j in range(terms.constant.shape[0])]
    slope = [[terms.slope[j, i] for i in range(terms.slope.shape[1])] for j in range(len(constant))]
    low, high = problem.low, problem.high
    few, many = terms.log_epochs(low[1]), terms.log_epochs(high[1])
    flat = problem.regime == MONOLINGUAL
    for i, (j, feature) in enumerate(terms.bends):
        strength, shape = terms.strength[i], terms.shape[i]
        if feature == "repetition":
            a, b = secant(lambda k, s=shape: log_repetition_derivatives(k, s)[0], few, many)
            plane = (a, b, 0.0)
        elif flat:
            continue
        else:
            plane = plane_above_text(xp.stack([few, low[2]]), xp.stack([many, high[2]]), shape)
        constant[j] = constant[j] + strength * plane[0]
        slope[j][1] = slope[j][1] + strength * plane[1]
        if not flat:
            slope[j][2] = slope[j][2] + strength * plane[2]
    convex = LogSumExp(
        xp.stack(constant),
        xp.stack([xp.stack(row) for row in slope]),
        terms.strength[:0],
        terms.shape[:0],
        terms.epochs,
        terms.in_part,
        (),
        terms.regime,
    )
    if "source_tokens" in problem.rows:
        limit = problem.limit[LIMIT_INDEX["source_tokens"]]
        limit = xp.where(xp.isfinite(limit), limit, 1e9)
        line = secant(lambda k: xp.logaddexp(0.0, limit - k), low[1], high[1])
        problem = dataclasses.replace(problem, secant=xp.stack(line))
    middle = problem.place([0.5] * DIMENSIONS[problem.regime])
    return convex, problem, initial_iterate(problem, middle)


def secant(function: Any, low: Array, high: Array) -> tuple[Array, Array]:
    """Intercept and slope of the line through a function's ends."""
    a, b = function(low), function(high)
    xp = array_namespace(a)
    width = high - low
    slope = xp.where(width > 0, (b - a) / xp.where(width > 0, width, 1.0), 0.0)
    return a - slope * low, slope


def plane_above_text(low: Array, high: Array, log_discount: Array) -> tuple[Array, Array, Array]:
    """Intercept and slopes in (k, r) of a plane that is nowhere below log text in a box.

    Slopes are those between the edges. Text is convex in k, so the most it rises above such a plane
    is at an edge; along it, at an end or where the derivative in r is that of the plane.
    """
    xp = array_namespace(low)

    def at(k: Array, r: Array) -> Array:
        return log_text_derivatives(k, r, log_discount)[0]

    def rise(a: Array, b: Array, width: Array) -> Array:
        return xp.where(width > 0, (b - a) / xp.where(width > 0, width, 1.0), 0.0)

    corners = {(i, j): at((low, high)[i][0], (low, high)[j][1]) for i in (0, 1) for j in (0, 1)}
    wide, tall = high[0] - low[0], high[1] - low[1]
    in_k = 0.5 * (
        rise(corners[0, 0], corners[1, 0], wide) + rise(corners[0, 1], corners[1, 1], wide)
    )
    in_r = 0.5 * (
        rise(corners[0, 0], corners[0, 1], tall) + rise(corners[1, 0], corners[1, 1], tall)
    )
    most = xp.full_like(in_k, -xp.inf)
    for k in (low[0], high[0]):
        a, share = xp.exp(log_discount + k), -in_r
        ratio = share * (1.0 - a) / (a * (1.0 - share))
        there = xp.isfinite(ratio) & (ratio > 0)
        turn = xp.where(there, -xp.log(xp.where(there, ratio, 1.0)), low[1])
        for r in (low[1], high[1], xp.clip(turn, low[1], high[1])):
            most = xp.maximum(most, at(k, r) - in_k * k - in_r * r)
    return most, in_k, in_r


def _bound_boxes(
    terms: LogSumExp, convex: LogSumExp, box: RecipeProblem, state: PrimalDualIterate
) -> tuple[Array, Array, Array, Array]:
    """Lower bound in the box, log loss at the relaxed solution, the relaxation's errors in k, r."""
    xp = array_namespace(state.kkt)
    bound = lower_bound(convex, box, state)
    u, low, high = state.u, box.low, box.high
    error_k, error_r = xp.zeros_like(bound), xp.zeros_like(bound)
    wide = (terms.log_epochs(high[1]) - terms.log_epochs(low[1])) ** 2
    for i, (_, feature) in enumerate(terms.bends):
        size = xp.abs(terms.strength[i])
        if feature == "repetition":
            error_k = error_k + size * wide * xp.abs(
                log_repetition_derivatives(terms.log_epochs(u[1]), terms.shape[i])[3]
            )
        elif box.regime != MONOLINGUAL:
            bent = log_text_derivatives(terms.log_epochs(u[1]), u[2], terms.shape[i])
            error_k = error_k + size * wide * bent[3]
            error_r = error_r + size * (high[2] - low[2]) ** 2 * xp.abs(bent[5])
    if box.secant is not None:
        error_k = error_k + 0.1 * (high[1] - low[1]) ** 2
    allowed = xp.ones_like(bound, bool)
    true = dataclasses.replace(box, secant=None)
    for name in box.rows:
        allowed = allowed & (true.slack(name, u) >= -1e-9)
    return bound, xp.where(allowed, log_sum_exp(terms, u), xp.inf), error_k, error_r


_SIDES = ("lowest epochs", "highest epochs", "lowest target_ratio", "highest target_ratio")


def _restricted_to_boxes(
    problem: RecipeProblem, edges: np.ndarray
) -> tuple[RecipeProblem, np.ndarray]:
    """The problems with (log k, log r) held in boxes (4, B): low and high of each."""
    limit = problem.limit.copy()
    for name, sign, edge in zip(_SIDES, (-1, 1, -1, 1), edges, strict=True):
        if problem.regime != MONOLINGUAL or name.endswith("epochs"):
            limit[LIMIT_INDEX[name]] = sign * edge
    rows = tuple(
        name
        for name in LIMIT_INDEX
        if name in problem.rows
        or (name in _SIDES and (problem.regime != MONOLINGUAL or name.endswith("epochs")))
    )
    return with_limits(problem, limit, rows)


def branch_and_bound(
    terms: LogSumExp, problem: RecipeProblem, start: np.ndarray, known: np.ndarray, gap: float
) -> ProvenBounds:
    """Bound the log loss of P problems from below.

    `known` (P,) is the best log loss known (of any regime): boxes that cannot improve on it by more
    than `gap` are closed. `start` (d, P) is what the proof falls back on.
    """
    total = len(known)
    bound = np.full(total, np.inf)
    best, at = np.full(total, np.inf), np.array(start)
    best_known = np.array(known)
    flat = problem.regime == MONOLINGUAL
    owner = np.arange(total)
    none = np.zeros(total)
    edges = np.stack(
        [
            problem.low[1],
            problem.high[1],
            *([none, none] if flat else [problem.low[2], problem.high[2]]),
        ]
    )
    parent = np.full(total, -np.inf)  # a bound that the box has from the one it was cut from
    for _ in range(_ROUNDS):
        if not len(owner):
            break
        lanes = jax.tree.map(lambda leaf, o=owner: leaf[..., o], (terms, problem))
        box, possible = _restricted_to_boxes(lanes[1], edges)
        owner, edges, parent = owner[possible], edges[:, possible], parent[possible]
        if not len(owner):
            break
        box_terms, box = jax.tree.map(lambda leaf, o=possible: leaf[..., o], (lanes[0], box))
        count = len(owner)
        kind = terms.bends, problem.regime, box.rows, box.serves
        convex, box, state = map_lanes(convex_relaxation, count, kind, box_terms, box)
        state = solve_paths(convex, box, state)
        lowest, true, error_k, error_r = map_lanes(
            _bound_boxes, count, kind, box_terms, convex, box, state
        )
        lowest = np.maximum(np.where(np.isfinite(lowest), lowest, -np.inf), parent)
        true = np.where(np.isfinite(true), true, np.inf)
        np.minimum.at(best_known, owner, true)
        order = np.argsort(true, kind="stable")[::-1]  # the lowest is written last
        order = order[true[order] < best[owner[order]]]
        best[owner[order]] = true[order]
        at[:, owner[order]] = np.stack(state.u)[:, order]
        closed = lowest >= best_known[owner] - _MARGIN * gap
        np.minimum.at(bound, owner[closed], lowest[closed])
        owner, edges, parent = owner[~closed], edges[:, ~closed], lowest[~closed]
        error_r = error_r[~closed]
        owner, edges, parent = _bisected_boxes(owner, edges, parent, error_k[~closed] >= error_r)
    np.minimum.at(bound, owner, parent)
    return ProvenBounds(np.minimum(bound, best_known), best, at)


def _bisected_boxes(
    owner: np.ndarray, edges: np.ndarray, parent: np.ndarray, in_k: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each box cut in two, across k or across r."""
    lower, upper = edges.copy(), edges.copy()
    for axis, chosen in ((0, in_k), (1, ~in_k)):
        middle = (edges[2 * axis] + edges[2 * axis + 1]) / 2
        lower[2 * axis + 1] = np.where(chosen, middle, edges[2 * axis + 1])
        upper[2 * axis] = np.where(chosen, middle, edges[2 * axis])
    return (
        np.concatenate([owner, owner]),
        np.concatenate([lower, upper], axis=1),
        np.concatenate([parent, parent]),
    )
