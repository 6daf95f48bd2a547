"""One interface to all solvers: which regimes and sizes a question has, and who solves them.

Laws made of terms (`m3`, `m3_posynomial`, `chinchilla`, …) under named limits are solved fast, the
convex ones with a certificate, the others with one on demand. Any other law or constraint goes the
general way.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error
from ...laws import Law
from ...recipe import REGIMES, Array, Recipe
from ._certify import prove
from ._faces import build
from ._fast import Optimum, is_convex, mapped, optimum_of, path, solve_fast
from ._general import Objective, Task, solve_general
from ._infeasibility import clashing_limits
from ._interior import TOLERANCE, State, begin, lower_bound
from ._limits import AT, LIMITS, NAMED, right_sides
from ._question import Question
from ._recipe_problem import RecipeProblem
from ._terms import has_terms, terms, value

METHODS = ("auto", "fast", "general")
_FEW = 1 << 13  # problems that are solved in one batch whatever their regime


@dataclasses.dataclass(frozen=True)
class Solved:
    """The best of each regime of P questions.

    Attributes:
        z: logarithms of n_params, epochs, target_ratio and final_ratio, (3, 4, P).
        log_loss: (3, P); infinite where a regime has no allowed recipe.
        multipliers: by `LIMITS`, (3, 17, P).
        kkt, agreement: (3, P), see `Optimum`.
        bound: log loss that no recipe of the regime is below, proven, (3, P); −infinite where
            nothing is, infinite where there is no recipe.
        blame: for questions without any allowed recipe, a smallest set of limits that clash,
            (15, P) bool; in the simplest regime there is.
        beyond: least violation of constraints given as functions, (P,).
    """

    z: np.ndarray
    log_loss: np.ndarray
    multipliers: np.ndarray
    kkt: np.ndarray
    agreement: np.ndarray
    bound: np.ndarray
    blame: np.ndarray
    beyond: np.ndarray


@cache  # one function a law, so that compiled code is found again
def objective_of(law: Law) -> Objective:
    """The log loss of a law: arguments are {"theta": (p,)}."""
    return lambda args, recipe: law.log_loss_theta(args["theta"], recipe)


def solve(
    law: Law,
    theta: np.ndarray,
    question: Question,
    regimes: np.ndarray,
    *,
    ladder: Sequence[float] | None = None,
    method: str = "auto",
    certify: bool = False,
    gap: float = 1e-4,
    task: Task | None = None,
    args: dict[str, np.ndarray] | None = None,
    only: Sequence[int] | None = None,
    thorough: bool = True,
) -> Solved:
    """Solve P questions: `theta` (p, P), leaves (P,) or (4, P), `regimes` on offer (3, P) bool.

    Args:
        ladder: the only model sizes; every one is solved for.
        method: "fast" for laws made of terms, "general" for any, "auto" to choose.
        certify: prove the log loss by branch and bound, to within `gap`.
        task: another objective or further constraints, general method only; its arguments are
            `args` (leaves with P first) and "theta".
        only: of `regimes` just these.
        thorough: False to begin from fewer points, general method only.

    Raises `M3Error` where the method cannot solve this law or task, or prove it.
    """
    if method not in METHODS:
        raise M3Error(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    fast = has_terms(law) and task is None
    if method == "fast" and not fast:
        raise M3Error(f"law {law.name}, with these constraints, needs the general method")
    general = method == "general" or not fast
    if certify and general:
        raise M3Error(
            f"law {law.name}: certify=True needs a law made of terms, such as m3, and named limits"
        )
    total = theta.shape[-1]
    out = Solved(
        z=np.zeros((len(REGIMES), 4, total)),
        log_loss=np.full((len(REGIMES), total), np.inf),
        multipliers=np.zeros((len(REGIMES), len(LIMITS), total)),
        kkt=np.full((len(REGIMES), total), np.inf),
        agreement=np.zeros((len(REGIMES), total)),
        bound=np.full((len(REGIMES), total), np.inf),
        blame=np.zeros((len(NAMED), total), dtype=bool),
        beyond=np.zeros(total),
    )
    batches = list(_batches(question, regimes, ladder, range(3) if only is None else only))
    for batch in batches:
        mine = theta[:, batch.lanes]
        if general:
            full = {name: leaf[batch.lanes] for name, leaf in (args or {}).items()}
            effort = {} if thorough else {"spread": 32, "descents": 2}
            found, beyond = solve_general(
                task or Task(objective_of(law)), {**full, "theta": mine.T}, batch.problem, **effort
            )
            lost = ~np.isfinite(found.log_loss)
            out.beyond[batch.lanes[lost]] = np.maximum(beyond[lost], 0.0)
        else:
            found = _sure(law, mine, batch.problem)
        _keep(out, batch, found)
        proven = np.isfinite(found.gap)
        bound = np.where(proven, found.log_loss, 0.0) - np.where(proven, found.gap, np.inf)
        np.minimum.at(out.bound, (batch.regime, batch.lanes), bound)
    _blame(out, question, regimes)
    if certify:
        best = np.full_like(out.bound, np.inf)
        for batch in batches:
            bound = _prove(law, out, batch, theta[:, batch.lanes], gap)
            np.minimum.at(best, (batch.regime, batch.lanes), bound)
        np.maximum(out.bound, best, out=out.bound)
    return out


class _Batch(NamedTuple):
    """Problems solved together: regime and question of each lane."""

    regime: np.ndarray
    lanes: np.ndarray
    problem: RecipeProblem


def _batches(
    question: Question, regimes: np.ndarray, ladder: Sequence[float] | None, only: Iterable[int]
) -> Iterator[_Batch]:
    """All problems that have a solution: few together, many by regime and size."""
    lift = int(regimes.sum()) * len(ladder or (0,)) <= _FEW
    parts: list[_Batch] = []
    for regime, size in itertools.product(only, ladder or (None,)):
        offered = np.flatnonzero(regimes[regime])
        if not len(offered):
            continue
        mine = jax.tree.map(lambda leaf, o=offered: leaf[..., o], question)
        problem, possible = build(mine if size is None else _at_size(mine, size), regime, lift=lift)
        lanes = offered[possible]
        if len(lanes):
            parts.append(_Batch(np.full(len(lanes), regime), lanes, problem.take(possible)))
    if not lift:
        yield from parts
    elif parts:
        needed = {name for part in parts for name in part.problem.rows}
        rows = tuple(name for name in NAMED if name in needed)
        serves = any(part.problem.serves for part in parts)
        parts = [
            part._replace(problem=dataclasses.replace(part.problem, rows=rows, serves=serves))
            for part in parts
        ]
        yield jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *parts)


def _at_size(question: Question, size: float) -> Question:
    """The question with one model size, impossible where that is out of bounds."""
    inside = (question.low[0] <= size * (1 + 1e-9)) & (size <= question.high[0] * (1 + 1e-9))
    low, high = np.array(question.low), np.array(question.high)
    low[0], high[0] = size, np.where(inside, size, size / 2)
    return dataclasses.replace(question, low=low, high=high)


def _sure(law: Law, theta: np.ndarray, problem: RecipeProblem) -> Optimum:
    """The fast way, and the general one for what did not converge."""
    found = solve_fast(law, theta, problem)
    left = np.flatnonzero(~(found.kkt <= 1e3 * TOLERANCE))
    if len(left):
        args, some = {"theta": theta.T[left]}, problem.take(left)
        again, _ = solve_general(Task(objective_of(law)), args, some)
        if is_convex(law, some):
            again = again._replace(gap=_gap(law, theta[:, left], some, again))
        less = again.log_loss <= found.log_loss[left]
        for old, new in zip(found, again, strict=True):
            old[..., left[less]] = new[..., less]
    return found


def _gap(law: Law, theta: np.ndarray, problem: RecipeProblem, found: Optimum) -> np.ndarray:
    """Duality gap of convex problems that were solved the general way."""
    n, k, r, f = found.z
    u = [n, k, r, f - problem.tilt * r][: len(problem.low)]
    multipliers = [found.multipliers[AT[name]] for name in problem.rows]
    count = len(n)
    these = mapped(terms, count, ("terms", problem.regime), theta, problem, static=law)
    state = State(u, multipliers, found.kkt)
    bound = mapped(lower_bound, count, "lower_bound", these, problem, state)
    sound = np.isfinite(found.log_loss) & np.isfinite(bound)
    return np.where(sound, np.where(sound, found.log_loss, 0.0) - bound, np.inf)


def _keep(out: Solved, batch: _Batch, found: Optimum) -> None:
    """Write down what is better than what is there."""
    for regime in np.unique(batch.regime):
        mine = np.flatnonzero(batch.regime == regime)
        # One size after the other: of several lanes of a question the best must stay.
        order = mine[np.argsort(-found.log_loss[mine], kind="stable")]
        order = order[found.log_loss[order] < out.log_loss[regime, batch.lanes[order]]]
        at = batch.lanes[order]
        out.z[regime][:, at] = found.z[:, order]
        out.log_loss[regime, at] = found.log_loss[order]
        out.multipliers[regime][:, at] = found.multipliers[:, order]
        out.kkt[regime, at] = found.kkt[order]
        out.agreement[regime, at] = found.agreement[order]


def _blame(out: Solved, question: Question, regimes: np.ndarray) -> None:
    """Which limits clash where nothing is allowed."""
    lost = np.flatnonzero(~np.isfinite(out.log_loss).any(axis=0) & (out.beyond == 0))
    simplest = np.argmax(regimes, axis=0)
    for regime in range(len(REGIMES)):
        lanes = lost[(simplest[lost] == regime) & regimes[regime, lost]]
        if not len(lanes):
            continue
        mine = jax.tree.map(lambda leaf, o=lanes: leaf[..., o], question)
        problem, _ = build(mine, regime)
        out.blame[:, lanes] = clashing_limits(
            right_sides(mine, regime),
            problem.log_tokens,
            problem.serving,
            problem.first_share,
            regime,
            problem.serves,
        )


def _prove(law: Law, out: Solved, batch: _Batch, theta: np.ndarray, gap: float) -> np.ndarray:
    """Proven bounds of a batch; where branch and bound sees better, polish that and take it."""
    problem, count = batch.problem, len(batch.lanes)
    these = mapped(terms, count, ("terms", problem.regime), theta, problem, static=law)
    known = out.log_loss[batch.regime, batch.lanes]
    proof = prove(these, problem, np.zeros((len(problem.low), count)), known, gap)
    better = np.flatnonzero(proof.log_loss < known - 1e-9)
    if len(better):
        mine, some = jax.tree.map(lambda leaf: leaf[..., better], (these, problem))
        state = mapped(begin, len(better), "begin", some, list(proof.u[:, better]))
        state = path(mine, some, state)
        loss = mapped(value, len(better), "value", mine, state.u)
        z = mapped(_z, len(better), "z", some, state.u)
        part = _Batch(batch.regime[better], batch.lanes[better], some)
        _keep(out, part, optimum_of(some, state, z, loss))
    return proof.bound


def _z(problem: RecipeProblem, u: list[Array]) -> Array:
    return jnp.stack(problem.z(u))


def recipes(z: np.ndarray, question: Question, regime: Any) -> Recipe:
    """Recipes of z (4, …) with D_T and r_1 / r of the question, NumPy leaves (…)."""
    n, k, r, f = np.exp(z)
    share = np.where(np.asarray(regime) == 2, question.first_share, 1.0)
    return Recipe(n, question.target_tokens + 0.0 * n, k, r, f, share * r)
