"""The runs that tell most for the budget: exchange among random runs, then gradients."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._errors import M3Error
from .._progress import Progress
from ..recipe import Array
from ._belief import Belief
from ._room import Room

CRITERIA = ("regret", "coefficients")
_POOL = 384  # random runs that are exchanged against
_PASSES = 2  # over all runs of a design
_STEPS = 120  # of the gradients
_RATE = 0.05  # of a step, in log units
_BLOCK = 64  # runs of the pool that are tried at once
_TIE = 1e-3  # weight of the information where regret is what counts


class RunSet(NamedTuple):
    """Runs: kinds (n,), logarithms of their variables (n, 5)."""

    kind: np.ndarray
    x: np.ndarray


def search(
    belief: Belief,
    room: Room,
    budget: float,
    runs: int,
    criterion: str,
    starts: int,
    seed: int,
    max_loss: float,
    report: Progress,
) -> RunSet:
    """The best design of some runs within the budget, from several random ones.

    Raises `M3Error` if none of the random runs keeps to `max_loss`, nats per token.
    """
    rng = np.random.default_rng([seed, 3])
    most = np.log(max_loss)
    pool = _pool(room, budget, runs, rng)
    told = _told(belief, room, *pool)
    cost = np.asarray(room.cost(*map(jnp.asarray, pool)))
    cost = np.where(np.asarray(_mean_log(belief, room, *pool)) <= most, cost, np.inf)
    fair = np.flatnonzero(cost <= budget / runs)
    if not len(fair):
        raise M3Error(
            f"max_loss {max_loss:g}: no run within the ranges keeps to it at {budget / runs:.3g}"
            " FLOP, an even share of the budget"
        )
    best, highest = None, -np.inf
    for start in range(starts):
        report("designing", start, starts)
        design = RunSet(*(leaf[rng.choice(fair, runs)] for leaf in pool))
        for passes in (_PASSES, 1):
            design = _exchange(belief, room, budget, criterion, design, pool, told, cost, passes)
            x, score = _climb(belief, room, criterion, *design, budget, most)
            design = RunSet(design.kind, np.asarray(x))
        if best is None or float(score) > highest:
            best, highest = design, float(score)
    report("designing", starts, starts)
    assert best is not None
    return best


def random_design(room: Room, budget: float, runs: int, rng: np.random.Generator) -> RunSet:
    """Runs uniform in logarithms, moved until they cost the budget together."""
    kind, x = room.draw(runs, rng)
    for _ in range(runs):
        moved = np.array(_afford(room, kind, x, budget, spend=True))
        cost = np.asarray(room.cost(jnp.asarray(kind), jnp.asarray(moved)))
        if cost.sum() <= budget * (1 + 1e-6):
            break
        # Sizes on a ladder are not cut: what is too dear even so becomes the cheapest run.
        dearest = int(np.argmax(cost))
        kind[dearest], x[dearest], _ = room.cheapest()
    return RunSet(kind, moved)


def score_of(belief: Belief, criterion: str, told: Array) -> Array:
    """What is to be maximised: nats, of information or (nearly) of loss."""
    information = belief.information(told)
    if criterion == "coefficients":
        return information
    # Where no run changes what is chosen, those that tell most of the coefficients are taken.
    return belief.saved(told) / _at_stake(belief) + _TIE * information


def _at_stake(belief: Belief) -> Array:
    mean = jnp.mean(belief.stake, axis=-1).min(axis=-1)
    lost = jnp.exp(mean) * (mean - jnp.mean(belief.own, axis=-1))
    return jnp.maximum(jnp.mean(lost), 1e-9)


def _pool(
    room: Room, budget: float, runs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random runs, each cut down to a random share of the budget, and the cheapest one."""
    kind, x = room.draw(_POOL, rng)
    cap = budget * np.exp(rng.uniform(np.log(0.05 / runs), np.log(0.7), _POOL))
    least_kind, least, _ = room.cheapest()
    x = np.asarray(_afford_each(room, kind, x, cap))
    return np.append(kind, least_kind), np.concatenate([x, least[None]])


@partial(jax.jit, static_argnames="spend")
def _afford(room: Room, kind: Array, x: Array, budget: Array, spend: bool) -> Array:
    return room.afford(kind, x, budget, spend=spend)


@jax.jit
def _afford_each(room: Room, kind: Array, x: Array, budget: Array) -> Array:
    def one(kind: Array, x: Array, budget: Array) -> Array:
        return room.afford(kind[None], x[None], budget)[0]

    return jax.vmap(one)(kind, x, budget)


@jax.jit
def _told(belief: Belief, room: Room, kind: Array, x: Array) -> Array:
    return belief.told(room.recipe(kind, x))


@jax.jit
def _mean_log(belief: Belief, room: Room, kind: Array, x: Array) -> Array:
    return belief.mean_log_loss(room.recipe(kind, x))


@partial(jax.jit, static_argnames="criterion")
def _with_each(
    belief: Belief, criterion: str, told: Array, place: Array, pool: Array, allowed: Array
) -> Array:
    """Scores with the run at `place` replaced by each of the pool; −infinity if not allowed."""

    def one(row: Array) -> Array:
        return score_of(belief, criterion, told.at[place].set(row))

    return jnp.where(allowed, jax.lax.map(one, pool, batch_size=_BLOCK), -jnp.inf)


@partial(jax.jit, static_argnames="criterion")
def _score(belief: Belief, criterion: str, told: Array) -> Array:
    return score_of(belief, criterion, told)


def _exchange(
    belief: Belief,
    room: Room,
    budget: float,
    criterion: str,
    design: RunSet,
    pool: tuple[np.ndarray, np.ndarray],
    pool_told: Array,
    pool_cost: np.ndarray,
    passes: int,
) -> RunSet:
    """Replace runs one by one by whichever of the pool is best in their place and affordable."""
    kind, x = np.array(design.kind), np.array(design.x)
    told = _told(belief, room, kind, x)
    cost = np.array(room.cost(jnp.asarray(kind), jnp.asarray(x)))
    score = float(_score(belief, criterion, told))
    for _ in range(passes):
        changed = False
        for place in range(len(kind)):
            left = budget * (1 + 1e-9) - (cost.sum() - cost[place])
            scores = np.asarray(
                _with_each(belief, criterion, told, place, pool_told, pool_cost <= left)
            )
            i = int(np.argmax(scores))
            if scores[i] > score + 1e-9:
                kind[place], x[place], cost[place] = pool[0][i], pool[1][i], pool_cost[i]
                told, score, changed = told.at[place].set(pool_told[i]), float(scores[i]), True
        if not changed:
            break
    return RunSet(kind, x)


@partial(jax.jit, static_argnames="criterion")
def _climb(
    belief: Belief,
    room: Room,
    criterion: str,
    kind: Array,
    x: Array,
    budget: Array,
    most: Array,
) -> tuple[Array, Array]:
    """Adam on the logarithms, back within bounds and budget after each step; the best seen.

    A step that takes a run above the log loss `most` is not made.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS))

    def loss(x: Array) -> Array:
        return -score_of(belief, criterion, belief.told(room.recipe(kind, x)))

    def sound(x: Array) -> Array:
        return belief.mean_log_loss(room.recipe(kind, x)) <= most + 1e-9

    def step(carry: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], None]:
        x, state, best, lowest = carry
        value, slope = jax.value_and_grad(loss)(x)
        within = (jnp.sum(room.cost(kind, x)) <= budget * (1 + 1e-6)) & jnp.all(sound(x))
        better = (value < lowest) & within
        best, lowest = jnp.where(better, x, best), jnp.where(better, value, lowest)
        slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
        change, state = optimizer.update(slope * room.moves, state)
        moved = room.afford(kind, x + change, budget)
        return (jnp.where(sound(moved)[:, None], moved, x), state, best, lowest), None

    carry = (x, optimizer.init(x), x, jnp.asarray(jnp.inf))
    (_, _, best, lowest), _ = jax.lax.scan(step, carry, None, length=_STEPS)
    return best, -lowest
