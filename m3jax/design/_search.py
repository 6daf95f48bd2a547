"""The runs that tell most for the budget: exchange among random runs, then gradients."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import M3Error
from .._progress import Progress
from ..computing import array_namespace
from ..options import NextOptions
from ..recipe import Array
from ._belief import Belief
from ._run_space import RunSpace

_POOL = 384  # random runs that are exchanged against
_PASSES = 2  # over all runs of a design
_STEPS = 120  # of the gradients
_RATE = 0.05  # of a step, in log units
_BETTER = 1e-6  # of the score, by which an exchange must be better
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
    pool = _pool(space, budget, runs, _POOL, rng)
    signal, cost = belief.signal(space.recipe(*pool)), space.cost(*pool)
    within = belief.mean_log_loss(space.recipe(*pool)) <= max_log_loss
    cost = np.where(within, cost, np.inf)
    fair = np.flatnonzero(cost <= budget / runs)
    if not len(fair):
        raise M3Error(
            f"max_loss {options.max_loss:g}: no run within the ranges keeps to it at"
            f" {budget / runs:.3g} FLOP, an even share of the budget"
        )
    best, highest = None, -np.inf
    trial = _Exchange(belief, criterion, signal)
    for start in range(options.starts):
        report("designing", start, options.starts)
        design = RunSet(*(leaf[rng.choice(fair, runs)] for leaf in pool))
        for passes in (_PASSES, 1):
            design = _exchange(trial, space, budget, design, pool, cost, passes)
            x, score = _climb(belief, space, criterion, *design, budget, max_log_loss)
            design = RunSet(design.kind, np.asarray(x))
        if best is None or float(score) > highest:
            best, highest = design, float(score)
    report("designing", options.starts, options.starts)
    assert best is not None
    return best


def exchange_with(
    belief: Belief,
    space: RunSpace,
    budget: float,
    design: RunSet,
    count: int,
    rng: np.random.Generator,
) -> RunSet:
    """A design for regret improved by one pass of exchanges against `count` random runs."""
    pool = _pool(space, budget, len(design.kind), count, rng)
    trial = _Exchange(belief, "regret", belief.signal(space.recipe(*pool)))
    return _exchange(trial, space, budget, design, pool, space.cost(*pool), 1)


def random_design(space: RunSpace, budget: float, runs: int, rng: np.random.Generator) -> RunSet:
    """Runs uniform in logarithms, moved until they cost the budget together."""
    kind, x = space.draw(runs, rng)
    for _ in range(runs):
        moved = space.afford(kind, x, budget, spend=True)
        cost = space.cost(kind, moved)
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
    xp = array_namespace(belief.stake)
    mean = belief.stake.mean(axis=-1).min(axis=-1)
    lost = xp.exp(mean) * (mean - belief.own.mean(axis=-1))
    return xp.maximum(xp.mean(lost), 1e-9)


def _pool(
    space: RunSpace, budget: float, runs: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random runs (count), each cut down to a random share of the budget, and the cheapest one."""
    kind, x = space.draw(count, rng)
    cap = budget * np.exp(rng.uniform(np.log(0.05 / runs), np.log(0.7), count))
    least_kind, least, _ = space.cheapest()
    x = space.afford(kind[:, None], x[:, None], cap)[:, 0]
    return np.append(kind, least_kind), np.concatenate([x, least[None]])


class _Exchange:
    """Scores of a design with one of its runs exchanged for each of some others."""

    def __init__(self, belief: Belief, criterion: str, pool: np.ndarray) -> None:
        """`pool` (K, B) is what those others would tell."""
        self.belief, self.criterion, self.pool = belief, criterion, pool
        mean, self.choices = belief.choices()
        self.lead = self.choices.mean(axis=-1)
        self.scale = np.exp(mean) / (len(mean) * _at_stake(belief))
        self.own = np.sum(pool**2, axis=1)
        self.joint = self._joint(pool)

    def _joint(self, signal: np.ndarray) -> np.ndarray:
        """Covariances of signals (n, B) and what is at stake, (n, Q·M)."""
        centred = self.choices - self.lead[..., None]
        flat = centred.reshape(-1, centred.shape[-1])
        return signal @ flat.T / math.sqrt(flat.shape[1] - 1)

    def scores(self, signal: np.ndarray, place: int, some: np.ndarray) -> np.ndarray:
        """`score_of` runs (n, B), the one at `place` replaced by each of `some` (k,) of the pool.

        What is expected is computed in single precision, which tells designs apart all the same.
        """
        n = len(signal)
        rest = np.arange(n) != place
        joined = np.repeat((np.eye(n) + signal @ signal.T)[None], len(some), axis=0)
        beside = self.pool[some] @ signal.T
        joined[:, place] = joined[:, :, place] = np.where(rest, beside, 1 + self.own[some, None])
        root = np.linalg.cholesky(joined)
        information = 2 * np.sum(np.log(np.diagonal(root, axis1=1, axis2=2)), axis=1)
        if self.criterion == "coefficients":
            return information
        joint = np.repeat(self._joint(signal)[None], len(some), axis=0)
        joint[:, place] = self.joint[some]
        moves = (np.linalg.inv(root) @ joint).astype(np.float32)
        moved = self.belief.normal.astype(np.float32) @ moves  # (k, S, Q·M)
        moved += self.lead.reshape(-1).astype(np.float32)
        lowest = moved.reshape(*moved.shape[:2], *self.lead.shape).min(axis=-1)
        fall = -lowest.mean(axis=1, dtype=np.float64)
        return fall @ self.scale + _TIE * information


def _exchange(
    trial: _Exchange,
    space: RunSpace,
    budget: float,
    design: RunSet,
    pool: tuple[np.ndarray, np.ndarray],
    pool_cost: np.ndarray,
    passes: int,
) -> RunSet:
    """Replace runs one by one by whichever of the pool is best in their place and affordable."""
    belief = trial.belief
    kind, x = np.array(design.kind), np.array(design.x)
    signal, cost = belief.signal(space.recipe(kind, x)), space.cost(kind, x)
    score = float(score_of(belief, trial.criterion, signal))
    for _ in range(passes):
        changed = False
        for place in range(len(kind)):
            left = budget * (1 + 1e-9) - (cost.sum() - cost[place])
            some = np.flatnonzero(pool_cost <= left)
            if not len(some):
                continue
            scores = trial.scores(signal, place, some)
            best = int(np.argmax(scores))
            if scores[best] > score + _BETTER * abs(score):
                i = int(some[best])
                kind[place], x[place], cost[place] = pool[0][i], pool[1][i], pool_cost[i]
                signal[place], score, changed = trial.pool[i], float(scores[best]), True
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
    import optax  # a fifth of a second, which `plan` can do without

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
