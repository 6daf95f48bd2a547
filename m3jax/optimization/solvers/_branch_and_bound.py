"""Proof that a recipe is the best one: spatial branch and bound, convex in each box.

What keeps the loss of `m3` from being convex in u are features of log k, log r and the stage
t = log(r_f / r) alone (Falk & Soland 1969 treat such separable problems). In a box of these each is
replaced by an affine function that can only lower the loss:

    log ρ(k; R), concave in log k            by its secant, below it
    log(1 + τ·k·(1/r − 1)), exponent < 0     by a plane above it
    what the stage bends                     by its secant less its largest curvature · width²/8
    unique source text, r + log(1 + S/(k·D_T)) >= 0   by the secant in log k, which only allows more

A bend of the stage that is convex with its sign is kept as it is. What is left are exponentials,
and log(1 + e^x), of convex functions: a convex loss, whose duality bound (`lower_bound`) holds in
the whole box. Boxes that may hold something better than the best loss known, by more than the gap,
are halved.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from ...computing import array_namespace
from ...recipe import MONOLINGUAL, TWO_STAGE, Array
from ._batched import map_lanes, solve_paths
from ._faces import with_limits
from ._interior_point import PrimalDualIterate, initial_iterate, lower_bound
from ._limits import LIMIT_INDEX
from ._log_sum_exp import (
    STAGED,
    LogSumExp,
    log_repetition_derivatives,
    log_sum_exp,
    log_text_derivatives,
    stage_curvature_bounds,
    stage_derivatives,
)
from ._recipe_problem import DIMENSIONS, RecipeProblem

_ROUNDS = 60
_STAGE_SIDES = ("highest stage_fraction", "lowest stage_fraction")  # of the least stage, the most
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
    kept, kept_bends = [], []
    for i, (j, feature) in enumerate(terms.bends):
        strength, shape = terms.strength[i], terms.shape[i]
        if feature in STAGED:
            short, long = stage_range(problem)
            a, b, is_convex = stage_line(feature, strength, short, long, terms.first_share)
            kept.append(xp.where(is_convex, strength, 0.0))
            kept_bends.append((j, feature))
            strength = xp.where(is_convex, 0.0, strength)
            # The stage is u[3] + (tilt − 1)·u[2].
            constant[j] = constant[j] + strength * a
            slope[j][2] = slope[j][2] + strength * b * (terms.tilt - 1.0)
            slope[j][3] = slope[j][3] + strength * b
            continue
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
    convex = dataclasses.replace(
        terms,
        constant=xp.stack(constant),
        slope=xp.stack([xp.stack(row) for row in slope]),
        strength=xp.stack(kept) if kept else terms.strength[:0],
        shape=xp.zeros_like(xp.stack(kept)) if kept else terms.shape[:0],
        bends=tuple(kept_bends),
    )
    if "source_tokens" in problem.rows:
        limit = problem.limit[LIMIT_INDEX["source_tokens"]]
        limit = xp.where(xp.isfinite(limit), limit, 1e9)
        line = secant(lambda k: xp.logaddexp(0.0, limit - k), low[1], high[1])
        problem = dataclasses.replace(problem, secant=xp.stack(line))
    middle = problem.place([0.5] * DIMENSIONS[problem.regime])
    return convex, problem, initial_iterate(problem, middle)


def stage_range(problem: RecipeProblem) -> tuple[Array, Array]:
    """Least and most of log(r_f / r) in the box of a two-stage problem."""
    xp = array_namespace(problem.low)
    low, high = problem.low, problem.high
    free = problem.tilt == 0
    limit = {name: problem.limit[LIMIT_INDEX[name]] for name in _STAGE_SIDES}
    short = xp.maximum(-limit["highest stage_fraction"], low[3] - high[2])
    long = xp.minimum(limit["lowest stage_fraction"], high[3] - low[2])
    short, long = xp.where(free, xp.maximum(short, 0.0), low[3]), xp.where(free, long, high[3])
    return short, xp.maximum(long, short)


def stage_line(
    feature: str, strength: Array, low: Array, high: Array, share: Array
) -> tuple[Array, Array, Array]:
    """Intercept and slope of a line, `strength` times which is nowhere above `strength` times the
    feature of the stage from `low` to `high`; and whether that is convex itself."""
    a, b = secant(lambda stage: stage_derivatives(feature, stage, share)[0], low, high)
    xp = array_namespace(low)
    least, most = stage_curvature_bounds(feature, low, high, share)
    convex = xp.where(strength > 0, least >= 0.0, most <= 0.0)
    # A function is within its largest curvature · width²/8 of its secant.
    room = (high - low) ** 2 / 8
    below, above = xp.maximum(most, 0.0) * room, xp.maximum(-least, 0.0) * room
    return a + xp.where(strength > 0, -below, above), b, convex


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
) -> tuple[Array, Array, Array]:
    """Lower bound in the box, log loss at the relaxed solution, the relaxation's errors (3, B).

    These in k, in r and in the stage.
    """
    xp = array_namespace(state.kkt)
    bound = lower_bound(convex, box, state)
    u, low, high = state.u, box.low, box.high
    error_k, error_r, error_t = (xp.zeros_like(bound) for _ in range(3))
    wide = (terms.log_epochs(high[1]) - terms.log_epochs(low[1])) ** 2
    for i, (_, feature) in enumerate(terms.bends):
        size = xp.abs(terms.strength[i])
        if feature in STAGED:
            short, long = stage_range(box)
            bends = stage_curvature_bounds(feature, short, long, terms.first_share)
            *_, kept = stage_line(feature, terms.strength[i], short, long, terms.first_share)
            bend = xp.maximum(xp.abs(bends[0]), xp.abs(bends[1]))
            error_t = error_t + xp.where(kept, 0.0, size * (long - short) ** 2 * bend)
        elif feature == "repetition":
            error_k = error_k + size * wide * xp.abs(
                log_repetition_derivatives(terms.log_epochs(u[1]), terms.shape[i])[2]
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
    errors = xp.stack([error_k, error_r, error_t])
    return bound, xp.where(allowed, log_sum_exp(terms, u), xp.inf), errors


# Of boxes: the limits that are their edges, and the sign of the edge in them.
_SIDES = {
    "lowest epochs": -1,
    "highest epochs": 1,
    "lowest target_ratio": -1,
    "highest target_ratio": 1,
    "highest stage_fraction": -1,
    "lowest stage_fraction": 1,
}


def _restricted_to_boxes(
    problem: RecipeProblem, edges: np.ndarray
) -> tuple[RecipeProblem, np.ndarray]:
    """The problems with (log k, log r, stage) held in boxes (2·axes, B): low and high of each."""
    limit = problem.limit.copy()
    sides = dict(list(_SIDES.items())[: len(edges)])
    for (name, sign), edge in zip(sides.items(), edges, strict=True):
        limit[LIMIT_INDEX[name]] = sign * edge
    rows = tuple(name for name in LIMIT_INDEX if name in problem.rows or name in sides)
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
    owner = np.arange(total)
    # Cut across what bends alone.
    ranges = [(problem.low[1], problem.high[1])]
    if problem.regime != MONOLINGUAL:
        ranges.append((problem.low[2], problem.high[2]))
    if problem.regime == TWO_STAGE and any(feature in STAGED for _, feature in terms.bends):
        short, long = stage_range(problem)
        # A box of no width would hold the stage, and move along it.
        ranges.append((short, np.where(problem.tilt == 0, np.maximum(long, short + 1e-6), long)))
    edges = np.stack([edge for ends in ranges for edge in ends])
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
        lowest, true, errors = map_lanes(_bound_boxes, count, kind, box_terms, convex, box, state)
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
        widest = np.argmax(errors[: len(ranges), ~closed], axis=0)
        owner, edges, parent = _bisected_boxes(owner, edges, parent, widest)
    np.minimum.at(bound, owner, parent)
    return ProvenBounds(np.minimum(bound, best_known), best, at)


def _bisected_boxes(
    owner: np.ndarray, edges: np.ndarray, parent: np.ndarray, axis: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each box cut in two, across `axis` (B,)."""
    lower, upper = edges.copy(), edges.copy()
    for each in range(len(edges) // 2):
        chosen = axis == each
        middle = (edges[2 * each] + edges[2 * each + 1]) / 2
        lower[2 * each + 1] = np.where(chosen, middle, edges[2 * each + 1])
        upper[2 * each] = np.where(chosen, middle, edges[2 * each])
    return (
        np.concatenate([owner, owner]),
        np.concatenate([lower, upper], axis=1),
        np.concatenate([parent, parent]),
    )
