"""Proof that a recipe is the best one: branch and bound over (log k, log r), convex in each box.

What keeps `m3` from being convex in log-variables are two features of (k, r) alone. In a box of
(k, r) they are replaced by planes that can only lower the loss: repetition, concave in log k, by
its chord; text, which enters with a negative exponent, by a plane above it. What is left is a
geometric program, whose dual bounds the loss in the whole box from below. The limit on unique
source text is handled likewise. Boxes that may hold something better are halved.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...recipe import MONOLINGUAL, Array
from ._faces import face
from ._fast import mapped, path
from ._interior import State, begin, lower_bound
from ._limits import AT
from ._recipe_problem import DIMENSIONS, RecipeProblem
from ._terms import Terms, repetition, text, value

_ROUNDS = 60
_MARGIN = 0.9  # of the gap asked for that boxes are closed at


class Proof(NamedTuple):
    """Of P problems: proven lower bound of the log loss, and the best point seen on the way.

    Attributes:
        bound: (P,).
        log_loss: (P,), at u.
        u: (d, P).
    """

    bound: np.ndarray
    log_loss: np.ndarray
    u: np.ndarray


def relaxed(these: Terms, problem: RecipeProblem) -> tuple[Terms, RecipeProblem, State]:
    """The convex problem below that of a box, and where to begin."""
    constant = [these.constant[j] for j in range(these.constant.shape[0])]
    slope = [[these.slope[j, i] for i in range(these.slope.shape[1])] for j in range(len(constant))]
    low, high = problem.low, problem.high
    flat = problem.regime == MONOLINGUAL
    for i, (j, feature) in enumerate(these.bends):
        strength, shape = these.strength[i], these.shape[i]
        if feature == "repetition":
            a, b = chord(lambda k, s=shape: repetition(k, s)[0], low[1], high[1])
            plane = (a, b, 0.0)
        elif flat:
            continue
        else:
            plane = above_text(low[1:3], high[1:3], shape)
        constant[j] = constant[j] + strength * plane[0]
        slope[j][1] = slope[j][1] + strength * plane[1]
        if not flat:
            slope[j][2] = slope[j][2] + strength * plane[2]
    convex = Terms(
        jnp.stack(constant),
        jnp.stack([jnp.stack(one) for one in slope]),
        these.strength[:0],
        these.shape[:0],
        (),
        these.regime,
    )
    if "source_tokens" in problem.rows:
        limit = problem.limit[AT["source_tokens"]]
        limit = jnp.where(jnp.isfinite(limit), limit, 1e9)
        line = chord(lambda k: jnp.logaddexp(0.0, limit - k), low[1], high[1])
        problem = dataclasses.replace(problem, chord=jnp.stack(line))
    middle = problem.place([0.5] * DIMENSIONS[problem.regime])
    return convex, problem, begin(problem, middle)


def chord(function: Any, low: Array, high: Array) -> tuple[Array, Array]:
    """Intercept and slope of the line through a function's ends."""
    a, b = function(low), function(high)
    width = high - low
    slope = jnp.where(width > 0, (b - a) / jnp.where(width > 0, width, 1.0), 0.0)
    return a - slope * low, slope


def above_text(low: Array, high: Array, log_discount: Array) -> tuple[Array, Array, Array]:
    """Intercept and slopes in (k, r) of a plane that is nowhere below log text in a box.

    Slopes are those between the edges. Text is convex in k, so the most it rises above such a plane
    is at an edge; along it, at an end or where the derivative in r is that of the plane.
    """

    def at(k: Array, r: Array) -> Array:
        return text(k, r, log_discount)[0]

    def rise(a: Array, b: Array, width: Array) -> Array:
        return jnp.where(width > 0, (b - a) / jnp.where(width > 0, width, 1.0), 0.0)

    corners = {(i, j): at((low, high)[i][0], (low, high)[j][1]) for i in (0, 1) for j in (0, 1)}
    wide, tall = high[0] - low[0], high[1] - low[1]
    in_k = 0.5 * (
        rise(corners[0, 0], corners[1, 0], wide) + rise(corners[0, 1], corners[1, 1], wide)
    )
    in_r = 0.5 * (
        rise(corners[0, 0], corners[0, 1], tall) + rise(corners[1, 0], corners[1, 1], tall)
    )
    most = jnp.full_like(in_k, -jnp.inf)
    for k in (low[0], high[0]):
        a, share = jnp.exp(log_discount + k), -in_r
        ratio = share * (1.0 - a) / (a * (1.0 - share))
        there = jnp.isfinite(ratio) & (ratio > 0)
        turn = jnp.where(there, -jnp.log(jnp.where(there, ratio, 1.0)), low[1])
        for r in (low[1], high[1], jnp.clip(turn, low[1], high[1])):
            most = jnp.maximum(most, at(k, r) - in_k * k - in_r * r)
    return most, in_k, in_r


def _bounded(
    these: Terms, convex: Terms, box: RecipeProblem, state: State
) -> tuple[Array, Array, Array, Array]:
    """Lower bound in the box, true log loss at the relaxed solution, and errors by k and by r."""
    bound = lower_bound(convex, box, state)
    u, low, high = state.u, box.low, box.high
    by_k, by_r = jnp.zeros_like(bound), jnp.zeros_like(bound)
    wide = (high[1] - low[1]) ** 2
    for i, (_, feature) in enumerate(these.bends):
        size = jnp.abs(these.strength[i])
        if feature == "repetition":
            by_k = by_k + size * wide * jnp.abs(repetition(u[1], these.shape[i])[3])
        elif box.regime != MONOLINGUAL:
            bent = text(u[1], u[2], these.shape[i])
            by_k = by_k + size * wide * bent[3]
            by_r = by_r + size * (high[2] - low[2]) ** 2 * jnp.abs(bent[5])
    if box.chord is not None:
        by_k = by_k + 0.1 * wide
    allowed = jnp.ones_like(bound, bool)
    true = dataclasses.replace(box, chord=None)
    for name in box.rows:
        allowed = allowed & (true.slack(name, u) >= -1e-9)
    return bound, jnp.where(allowed, value(these, u), jnp.inf), by_k, by_r


_SIDES = ("lowest epochs", "highest epochs", "lowest target_ratio", "highest target_ratio")


def _boxed(problem: RecipeProblem, edges: np.ndarray) -> tuple[RecipeProblem, np.ndarray]:
    """The problems with (log k, log r) held in boxes (4, B): low and high of each."""
    limit = problem.limit.copy()
    for name, sign, edge in zip(_SIDES, (-1, 1, -1, 1), edges, strict=True):
        if problem.regime != MONOLINGUAL or name.endswith("epochs"):
            limit[AT[name]] = sign * edge
    rows = tuple(
        name
        for name in AT
        if name in problem.rows
        or (name in _SIDES and (problem.regime != MONOLINGUAL or name.endswith("epochs")))
    )
    box, possible = face(
        limit,
        problem.log_tokens,
        problem.serving,
        problem.first_share,
        problem.regime,
        problem.serves,
        np,
        rows,
    )
    return box, possible


def prove(
    these: Terms, problem: RecipeProblem, start: np.ndarray, known: np.ndarray, gap: float
) -> Proof:
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
        mine = jax.tree.map(lambda leaf, o=owner: leaf[..., o], (these, problem))
        box, possible = _boxed(mine[1], edges)
        owner, edges, parent = owner[possible], edges[:, possible], parent[possible]
        if not len(owner):
            break
        mine, box = jax.tree.map(lambda leaf, o=possible: leaf[..., o], (mine[0], box))
        count = len(owner)
        kind = these.bends, problem.regime, box.rows, box.serves
        convex, box, state = mapped(relaxed, count, kind, mine, box)
        state = path(convex, box, state)
        lowest, true, by_k, by_r = mapped(_bounded, count, kind, mine, convex, box, state)
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
        by_r = by_r[~closed]
        owner, edges, parent = _halved(owner, edges, parent, by_k[~closed] >= by_r)
    np.minimum.at(bound, owner, parent)
    return Proof(np.minimum(bound, best_known), best, at)


def _halved(
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
