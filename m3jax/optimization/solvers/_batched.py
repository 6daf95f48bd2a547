"""Solve problems of laws made of terms by the hundred thousand: screen, follow paths, compact.

Interior-point descents start at the best points of the parts of the allowed recipes that may hold
a valley each; after a few iterations the problems that have not converged are packed together and
go on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._batching import dispatch
from ...computing import KEPT, array_namespace
from ...laws import Law
from ...recipe import Array
from ._interior_point import (
    TOLERANCE,
    PrimalDualIterate,
    initial_iterate,
    lower_bound,
    solve_interior_point,
)
from ._limits import LIMIT_INDEX, LIMITS
from ._log_sum_exp import LogSumExp, as_log_sum_exp, is_posynomial, log_sum_exp
from ._recipe_problem import DIMENSIONS, RecipeProblem

_POINTS, _FEW_POINTS = 36, 6  # of each part in `screen_starts`, in `near_starts`
_OFF = 0.1  # of the way from where a start is wanted to the middle of what is allowed
_ROUNDS = (9, 5, 60)  # iterations before the unfinished are packed together
# Problems from which compiling pays on a CPU: seven seconds, and then 9,000 a second in place of
# 6,000.
_PAYS = 1 << 17
_LANES = 1 << 14  # that NumPy takes together: their arrays stay in the cache
_COMPILED_LANES, _LANES_ELSEWHERE = 1 << 10, 1 << 16  # in one compiled call, on an accelerator
_MOST = 0.9  # of the range of log epochs, beyond which a valley is that of the most
_DEPTH = 0.1  # in log loss, that a valley may lie below a few points in it
_CLOSE = 0.5  # starts worse by more than this, in log loss, are not worth a descent
_AGREE = 1e-6  # difference in log loss below which two ends are one


class LocalOptima(NamedTuple):
    """The best points found for one regime of P problems, NumPy arrays with P last.

    Attributes:
        z: (4, P): logarithms of n_params, epochs, target_ratio, final_ratio.
        log_loss: (P,); infinite where nothing allowed was found.
        multipliers: d(log loss)/d(log limit) with the sign turned, by `LIMITS`, (17, P).
        kkt: largest violation of the KKT conditions, in log units, (P,).
        agreement: share of starts that ended within 1e-6 of the best log loss, (P,).
        gap: log loss less a proven lower bound, (P,); infinite where nothing was proven.
    """

    z: np.ndarray
    log_loss: np.ndarray
    multipliers: np.ndarray
    kkt: np.ndarray
    agreement: np.ndarray
    gap: np.ndarray


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


@lru_cache(maxsize=4 * KEPT)
def _jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    # On a CPU one thread a call, for calls run side by side better than that.
    options = {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" else {}
    return jax.jit(function, compiler_options=options)


def screen_starts(
    law: Law, theta: Array, problem: RecipeProblem
) -> tuple[LogSumExp, list[PrimalDualIterate], Array]:
    """The terms, and iterates at the best point of each part, the best first.

    The loss may have a valley at each end of the ratio, and one more at the most epochs, where
    repetition saturates: so many parts there are. Last, by how much each is worse than the first,
    (starts, P).
    """
    terms, xp = as_log_sum_exp(law, theta, problem), array_namespace(theta)
    loss, places = _screened(terms, problem, _POINTS)
    order = xp.argsort(loss, axis=0)
    ranked = [xp.take_along_axis(u, order, axis=0) for u in places]
    loss = xp.take_along_axis(loss, order, axis=0)
    starts = [initial_iterate(problem, [u[i] for u in ranked]) for i in range(len(loss))]
    return terms, starts, loss - loss[0]


def near_starts(
    law: Law, theta: Array, problem: RecipeProblem, z: Array
) -> tuple[LogSumExp, list[PrimalDualIterate], Array]:
    """The terms, and iterates near z (4, P), at the best of a few points elsewhere and at the best
    of those at the most epochs; of fewer, where z is at the most.

    Last, as of `screen_starts`, by how much the others are worse, (3, P): infinite where the former
    does not beat z, or took its place because z breaks a limit here, and where the latter is so far
    above z that no valley there can be lower.
    """
    terms, xp = as_log_sum_exp(law, theta, problem), array_namespace(theta)
    loss, places = _screened(terms, problem, _FEW_POINTS)
    of_few = xp.arange(len(loss)) < len(loss) // 2
    low, high = problem.low[1], problem.high[1]
    at_most = xp.clip(z[1], low, high) > low + _MOST * (high - low)
    best = xp.argmin(loss, axis=0)[None]
    across = xp.where(of_few[:, None] == at_most, loss, xp.inf)
    other = xp.argmin(across, axis=0)[None]
    elsewhere, beyond = (
        [xp.take_along_axis(u, place, axis=0)[0] for u in places] for place in (best, other)
    )
    n, k, r, f = z
    there = [n, k, r, f - problem.tilt * r][: len(elsewhere)]
    there = [xp.clip(x, problem.low[i], problem.high[i]) for i, x in enumerate(there)]
    # Off the limits, where a path can begin.
    middle = problem.place([0.5] * len(there))
    inside = [x + _OFF * (m - x) for x, m in zip(there, middle, strict=True)]
    sound = xp.isfinite(log_sum_exp(terms, inside))
    for name in problem.rows:
        sound = sound & (problem.slack(name, inside) > 0)
    start = [xp.where(sound, x, y) for x, y in zip(inside, elsewhere, strict=True)]
    known = log_sum_exp(terms, there)
    better = sound & (loss.min(axis=0) < known)
    near = across.min(axis=0) < known + _DEPTH
    worse = [xp.zeros_like(known), *(xp.where(which, 0.0, xp.inf) for which in (better, near))]
    starts = [initial_iterate(problem, u) for u in (start, elsewhere, beyond)]
    return terms, starts, xp.stack(worse)


def _screened(terms: LogSumExp, problem: RecipeProblem, count: int) -> tuple[Array, list[Array]]:
    """Lowest loss of `count` points of each part, (parts, P), and where."""
    xp = array_namespace(terms.constant)

    def best(points: np.ndarray) -> tuple[Array, list[Array]]:
        """Of some parts, (n, P), from points (count, d, n, 1)."""

        def lower(carry: tuple[Array, list[Array]], q: Array) -> tuple[tuple[Array, Any], None]:
            lowest, at = carry
            u = problem.place(q)
            loss = log_sum_exp(terms, u)
            less = loss < lowest
            at = [xp.where(less, new, old) for new, old in zip(u, at, strict=True)]
            return (xp.where(less, loss, lowest), at), None

        zero = xp.zeros((points.shape[2], 1)) + xp.zeros_like(problem.log_tokens)
        middle = [zero + x for x in problem.place([0.5] * points.shape[1])]
        found = zero + xp.inf, middle
        if xp is np:
            return reduce(lambda found, q: lower(found, q)[0], points, found)
        return jax.lax.scan(lower, found, jnp.asarray(points, zero.dtype))[0]

    # Parts of as many points are searched together: less to compile.
    parts = _parts(DIMENSIONS[problem.regime], count)
    losses, places = zip(*map(best, parts), strict=True)
    return xp.concatenate(losses), [xp.concatenate(u) for u in zip(*places, strict=True)]


def _parts(dimensions: int, count: int) -> list[np.ndarray]:
    """Points of the unit cube by which valley they may lie in, parts of as many points together.

    Each array is (count, d, parts, 1).
    """
    cube = 0.06 + 0.88 * halton(count, dimensions)
    few, many = cube.copy(), cube[: count // 2].copy()
    few[:, 1] *= 0.7
    many[:, 1] = 0.98
    if dimensions < 3:
        return [points[..., None, None] for points in (few, many)]
    pairs = []
    for points in (few, many):
        low, high = points.copy(), points.copy()
        low[:, 2] *= 0.5
        high[:, 2] = 0.5 + 0.5 * points[:, 2]
        # Scarce source text leaves many epochs only at hardly any of it.
        low[::3, 2], high[::3, 2] = 0.001, 0.999
        pairs.append(np.stack([low, high], axis=-1)[..., None])
    return pairs


def _finish(
    terms: LogSumExp, problem: RecipeProblem, state: PrimalDualIterate
) -> tuple[Array, Array, Array]:
    """z (4, P), log loss and lower bound of a convex problem."""
    return (
        array_namespace(state.kkt).stack(problem.z(state.u)),
        log_sum_exp(terms, state.u),
        lower_bound(terms, problem, state),
    )


def _in_chunks(function: Callable[..., Any], total: int, kind: Any, *trees: Any) -> Any:
    """A function of lanes over any number of them (NumPy leaves, lanes last), chunk by chunk.

    By NumPy, which has nothing to compile, but for very many lanes and on accelerators.
    """
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and total < _PAYS:
        size, run, kind = _LANES, function, "by NumPy"
        chunks = [np.arange(i, min(i + size, total)) for i in range(0, total, size)]
    else:
        size, run = (_COMPILED_LANES if on_cpu else _LANES_ELSEWHERE), _jitted(function)
        kind = function, kind, size
        # The last lane is repeated to fill a call.
        chunks = [np.minimum(np.arange(i, i + size), total - 1) for i in range(0, total, size)]

    def work(lanes: np.ndarray) -> Any:
        part = jax.tree.map(lambda leaf: leaf[..., lanes], trees)
        with np.errstate(all="ignore"):  # what is not finite is refused
            return jax.tree.map(np.asarray, run(*part))

    parts = list(dispatch(chunks, work, kind))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1)[..., :total], *parts)


def solve_paths(
    terms: LogSumExp,
    problem: RecipeProblem,
    state: PrimalDualIterate,
) -> PrimalDualIterate:
    """Follow the path of any number of problems (NumPy leaves), packing the unfinished together."""
    kind = terms.bends, terms.constant.shape[0], problem.regime, problem.rows, problem.serves
    out: PrimalDualIterate = jax.tree.map(np.array, state)
    todo = np.arange(len(state.kkt))
    for most in _ROUNDS:
        part = jax.tree.map(lambda leaf, todo=todo: leaf[..., todo], (terms, problem, out))
        iterate = map_lanes(_rounds_of(most), len(todo), (*kind, problem.secant is None), *part)
        for new, old in zip(jax.tree.leaves(iterate), jax.tree.leaves(out), strict=True):
            old[todo] = new
        todo = todo[~(out.kkt[todo] <= TOLERANCE)]
        if not len(todo):
            break
    return out


@lru_cache
def _rounds_of(most: int) -> Callable[..., PrimalDualIterate]:
    return partial(solve_interior_point, most=most)


def map_lanes(function: Any, total: int, kind: Any, *trees: Any, law: Law | None = None) -> Any:
    """A function of lanes over any number of them (NumPy leaves, lanes last).

    Of the law, too, where one is given.
    """
    return _in_chunks(function if law is None else _of_law(function, law), total, kind, *trees)


@lru_cache(maxsize=4 * KEPT)
def _of_law(function: Callable[..., Any], law: Law) -> Callable[..., Any]:
    return partial(function, law)


def is_convex(law: Law, problem: RecipeProblem) -> bool:
    """Whether a local optimum is the optimum, and a duality gap proves it."""
    return is_posynomial(law) and "source_tokens" not in problem.rows


def solve_fast(
    law: Law, theta: np.ndarray, problem: RecipeProblem, near: np.ndarray | None = None
) -> LocalOptima:
    """Solve P problems of one regime, `theta` (p, P).

    From one start where the loss is convex, else from all that are not far worse than the best; or
    from `near` z (4, P), where the optima of much the same problems are.
    """
    total = theta.shape[-1]
    convex = is_convex(law, problem)
    kind = law, problem.regime, problem.rows, problem.serves
    begin, known = (screen_starts, ()) if near is None else (near_starts, (near,))
    terms, starts, worse = map_lanes(begin, total, kind, theta, problem, *known, law=law)

    def descended(
        terms: LogSumExp, problem: RecipeProblem, state: PrimalDualIterate
    ) -> LocalOptima:
        state = solve_paths(terms, problem, state)
        count = len(state.kkt)
        z, loss, bound = map_lanes(_finish, count, kind, terms, problem, state)
        optima = as_local_optima(problem, state, z, loss)
        if convex:
            optima = optima._replace(gap=np.where(np.isfinite(loss), loss - bound, np.inf))
        return optima

    best = descended(terms, problem, starts[0])
    if convex:
        return best
    ends = [best.log_loss.copy()]
    for start, further in zip(starts[1:], worse[1:], strict=True):
        again = np.flatnonzero((further < _CLOSE) | ~(best.kkt <= TOLERANCE))
        ends.append(np.full(total, np.nan))
        if not len(again):
            continue
        some = jax.tree.map(lambda leaf, again=again: leaf[..., again], (terms, problem, start))
        other = descended(*some)
        ends[-1][again] = other.log_loss
        less = other.log_loss < best.log_loss[again]
        for old, new in zip(best, other, strict=True):
            old[..., again[less]] = new[..., less]
    with np.errstate(invalid="ignore"):
        agree = np.abs(np.stack(ends) - best.log_loss) <= _AGREE
    return best._replace(agreement=agree.sum(axis=0) / (~np.isnan(ends)).sum(axis=0))


def as_local_optima(
    problem: RecipeProblem, state: PrimalDualIterate, z: np.ndarray, loss: np.ndarray
) -> LocalOptima:
    """What a path ended in, with one start and nothing proven."""
    multipliers = np.zeros((len(LIMITS), len(loss)))
    for name, m in zip(problem.rows, state.multipliers, strict=True):
        multipliers[LIMIT_INDEX[name]] = m
    sound = np.isfinite(loss)
    return LocalOptima(
        z,
        np.where(sound, loss, np.inf),
        multipliers,
        np.where(sound, state.kkt, np.inf),
        np.ones(len(loss)),
        np.full(len(loss), np.inf),
    )
