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
from ..options import NextOptions
from ..recipe import Array
from ._belief import Belief
from ._run_space import RunSpace

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
    belief: Belief, space: RunSpace, budget: float, options: NextOptions, report: Progress
) -> RunSet:
    """The best design of some runs within the budget (FLOP), from several random ones.

    Raises `M3Error` if none of the random runs keeps to `max_loss`, nats per token.
    """
    runs, criterion = options.runs, options.criterion
    rng = np.random.default_rng([options.seed, 3])
    max_log_loss = np.log(options.max_loss or np.inf)
    pool = _pool(space, budget, runs, rng)
    signal = _signal(belief, space, *pool)
    cost = np.asarray(space.cost(*map(jnp.asarray, pool)))
    within = np.asarray(_mean_log_loss(belief, space, *pool)) <= max_log_loss
    cost = np.where(within, cost, np.inf)
    fair = np.flatnonzero(cost <= budget / runs)
    if not len(fair):
        raise M3Error(
            f"max_loss {options.max_loss:g}: no run within the ranges keeps to it at"
            f" {budget / runs:.3g} FLOP, an even share of the budget"
        )
    best, highest = None, -np.inf
    for start in range(options.starts):
        report("designing", start, options.starts)
        design = RunSet(*(leaf[rng.choice(fair, runs)] for leaf in pool))
        for passes in (_PASSES, 1):
            design = _exchange(belief, space, budget, criterion, design, pool, signal, cost, passes)
            x, score = _climb(belief, space, criterion, *design, budget, max_log_loss)
            design = RunSet(design.kind, np.asarray(x))
        if best is None or float(score) > highest:
            best, highest = design, float(score)
    report("designing", options.starts, options.starts)
    assert best is not None
    return best


def random_design(space: RunSpace, budget: float, runs: int, rng: np.random.Generator) -> RunSet:
    """Runs uniform in logarithms, moved until they cost the budget together."""
    kind, x = space.draw(runs, rng)
    for _ in range(runs):
        moved = np.array(_afford(space, kind, x, budget, spend=True))
        cost = np.asarray(space.cost(jnp.asarray(kind), jnp.asarray(moved)))
        if cost.sum() <= budget * (1 + 1e-6):
            break
        # Sizes on a ladder are not cut: what is too dear even so becomes the cheapest run.
        dearest = int(np.argmax(cost))
        kind[dearest], x[dearest], _ = space.cheapest()
    return RunSet(kind, moved)


def score_of(belief: Belief, criterion: str, signal: Array) -> Array:
    """What is to be maximised: nats, of information or (nearly) of loss."""
    information = belief.information(signal)
    if criterion == "coefficients":
        return information
    # Where no run changes what is chosen, those that tell most of the
    # coefficients are taken.
    return belief.expected_gain(signal) / _at_stake(belief) + _TIE * information


def _at_stake(belief: Belief) -> Array:
    mean = jnp.mean(belief.stake, axis=-1).min(axis=-1)
    lost = jnp.exp(mean) * (mean - jnp.mean(belief.own, axis=-1))
    return jnp.maximum(jnp.mean(lost), 1e-9)


def _pool(
    space: RunSpace, budget: float, runs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random runs, each cut down to a random share of the budget, and the cheapest one."""
    kind, x = space.draw(_POOL, rng)
    cap = budget * np.exp(rng.uniform(np.log(0.05 / runs), np.log(0.7), _POOL))
    least_kind, least, _ = space.cheapest()
    x = np.asarray(_afford_each(space, kind, x, cap))
    return np.append(kind, least_kind), np.concatenate([x, least[None]])


@partial(jax.jit, static_argnames="spend")
def _afford(space: RunSpace, kind: Array, x: Array, budget: Array, spend: bool) -> Array:
    return space.afford(kind, x, budget, spend=spend)


@jax.jit
def _afford_each(space: RunSpace, kind: Array, x: Array, budget: Array) -> Array:
    def afford_one(kind: Array, x: Array, budget: Array) -> Array:
        return space.afford(kind[None], x[None], budget)[0]

    return jax.vmap(afford_one)(kind, x, budget)


@jax.jit
def _signal(belief: Belief, space: RunSpace, kind: Array, x: Array) -> Array:
    return belief.signal(space.recipe(kind, x))


@jax.jit
def _mean_log_loss(belief: Belief, space: RunSpace, kind: Array, x: Array) -> Array:
    return belief.mean_log_loss(space.recipe(kind, x))


@partial(jax.jit, static_argnames="criterion")
def _with_each(
    belief: Belief, criterion: str, signal: Array, place: Array, pool: Array, allowed: Array
) -> Array:
    """Scores with the run at `place` replaced by each of the pool; −infinity if not allowed."""

    def with_row(row: Array) -> Array:
        return score_of(belief, criterion, signal.at[place].set(row))

    return jnp.where(allowed, jax.lax.map(with_row, pool, batch_size=_BLOCK), -jnp.inf)


@partial(jax.jit, static_argnames="criterion")
def _score(belief: Belief, criterion: str, signal: Array) -> Array:
    return score_of(belief, criterion, signal)


def _exchange(
    belief: Belief,
    space: RunSpace,
    budget: float,
    criterion: str,
    design: RunSet,
    pool: tuple[np.ndarray, np.ndarray],
    pool_signal: Array,
    pool_cost: np.ndarray,
    passes: int,
) -> RunSet:
    """Replace runs one by one by whichever of the pool is best in their place and affordable."""
    kind, x = np.array(design.kind), np.array(design.x)
    signal = _signal(belief, space, kind, x)
    cost = np.array(space.cost(jnp.asarray(kind), jnp.asarray(x)))
    score = float(_score(belief, criterion, signal))
    for _ in range(passes):
        changed = False
        for place in range(len(kind)):
            left = budget * (1 + 1e-9) - (cost.sum() - cost[place])
            scores = np.asarray(
                _with_each(belief, criterion, signal, place, pool_signal, pool_cost <= left)
            )
            i = int(np.argmax(scores))
            if scores[i] > score + 1e-9:
                kind[place], x[place], cost[place] = pool[0][i], pool[1][i], pool_cost[i]
                signal, score, changed = (
                    signal.at[place].set(pool_signal[i]),
                    float(scores[i]),
                    True,
                )
        if not changed:
            break
    return RunSet(kind, x)


@partial(jax.jit, static_argnames="criterion")
def _climb(
    belief: Belief,
    space: RunSpace,
    criterion: str,
    kind: Array,
    x: Array,
    budget: Array,
    max_log_loss: Array,
) -> tuple[Array, Array]:
    """Adam on the logarithms, back within bounds and budget after each step; the best seen.

    A step that takes a run above the log loss `max_log_loss` is not made.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(_RATE, _STEPS))

    def loss(x: Array) -> Array:
        return -score_of(belief, criterion, belief.signal(space.recipe(kind, x)))

    def sound(x: Array) -> Array:
        return belief.mean_log_loss(space.recipe(kind, x)) <= max_log_loss + 1e-9

    def step(carry: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], None]:
        x, state, best, lowest = carry
        value, slope = jax.value_and_grad(loss)(x)
        within = (jnp.sum(space.cost(kind, x)) <= budget * (1 + 1e-6)) & jnp.all(sound(x))
        better = (value < lowest) & within
        best, lowest = jnp.where(better, x, best), jnp.where(better, value, lowest)
        slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
        change, state = optimizer.update(slope * space.moves, state)
        moved = space.afford(kind, x + change, budget)
        return (jnp.where(sound(moved)[:, None], moved, x), state, best, lowest), None

    carry = (x, optimizer.init(x), x, jnp.asarray(jnp.inf))
    (_, _, best, lowest), _ = jax.lax.scan(step, carry, None, length=_STEPS)
    return best, -lowest
