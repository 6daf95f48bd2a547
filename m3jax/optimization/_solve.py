"""One interface to all solvers: which regimes and sizes a question has, and who solves them.

Laws made of terms (`m3`, `m3_posynomial`, `chinchilla`, …) under named limits are solved fast, the
convex ones with a certificate, the others with one on demand. Any other law or constraint goes the
general way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import M3Error
from ..laws import Law
from ..recipe import REGIMES, Array, Recipe
from ._certify import prove
from ._fast import Optimum, mapped, optimum_of, path, solve_fast
from ._general import Objective, Task, solve_general
from ._interior import TOLERANCE, begin
from ._problem import NAMED, Problem, Question, build, clash, right_sides
from ._terms import has_terms, terms, value

METHODS = ("auto", "fast", "general")


@dataclasses.dataclass(frozen=True)
class Solved:
    """The best of each regime of P questions.

    Attributes:
        z: logarithms of n_params, epochs, target_ratio and final_ratio, (3, 4, P).
        log_loss: (3, P); infinite where a regime has no allowed recipe.
        multipliers: by `LIMITS`, (3, 17, P).
        kkt, agreement, gap: (3, P), see `Optimum`; the gap is against the best of all regimes where
            branch and bound found it.
        blame: for questions without any allowed recipe, a smallest set of limits that clash,
            (15, P) bool; in the simplest regime there is.
        beyond: least violation of constraints given as functions, (P,).
    """

    z: np.ndarray
    log_loss: np.ndarray
    multipliers: np.ndarray
    kkt: np.ndarray
    agreement: np.ndarray
    gap: np.ndarray
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
        multipliers=np.zeros((len(REGIMES), len(NAMED) + 2, total)),
        kkt=np.full((len(REGIMES), total), np.inf),
        agreement=np.zeros((len(REGIMES), total)),
        gap=np.full((len(REGIMES), total), np.inf),
        blame=np.zeros((len(NAMED), total), dtype=bool),
        beyond=np.zeros(total),
    )
    built: list[tuple[int, np.ndarray, Problem, np.ndarray]] = []
    for regime in range(len(REGIMES)) if only is None else only:
        for size in ladder or (None,):
            offered = np.flatnonzero(regimes[regime])
            if not len(offered):
                continue
            mine = jax.tree.map(lambda leaf, o=offered: leaf[..., o], question)
            if size is not None:
                mine = _at_size(mine, size)
            problem, possible = build(mine, regime)
            lanes = offered[possible]
            if not len(lanes):
                continue
            problem = problem.take(possible)
            if general:
                full = {"theta": theta.T[lanes], **{k: v[lanes] for k, v in (args or {}).items()}}
                effort = {} if thorough else {"spread": 32, "descents": 2}
                found, beyond = solve_general(
                    task or Task(objective_of(law)), full, problem, **effort
                )
                bad = ~np.isfinite(found.log_loss)
                out.beyond[lanes[bad]] = np.maximum(beyond[bad], 0.0)
            else:
                found = _sure(law, theta[:, lanes], problem)
            _keep(out, regime, lanes, found)
            built.append((regime, lanes, problem, theta[:, lanes]))
    _blame(out, question, regimes)
    if certify:
        for regime, lanes, problem, mine in built:
            _improve(law, out, regime, lanes, problem, mine, gap)
    return out


def _at_size(question: Question, size: float) -> Question:
    """The question with one model size, impossible where that is out of bounds."""
    inside = (question.low[0] <= size * (1 + 1e-9)) & (size <= question.high[0] * (1 + 1e-9))
    low, high = np.array(question.low), np.array(question.high)
    low[0], high[0] = size, np.where(inside, size, size / 2)
    return dataclasses.replace(question, low=low, high=high)


def _sure(law: Law, theta: np.ndarray, problem: Problem) -> Optimum:
    """The fast way, and the general one for what did not converge."""
    found = solve_fast(law, theta, problem)
    left = np.flatnonzero(~(found.kkt <= 1e3 * TOLERANCE))
    if len(left):
        args = {"theta": theta.T[left]}
        again, _ = solve_general(Task(objective_of(law)), args, problem.take(left))
        less = again.log_loss <= found.log_loss[left]
        for old, new in zip(found, again, strict=True):
            old[..., left[less]] = new[..., less]
    return found


def _keep(out: Solved, regime: int, lanes: np.ndarray, found: Optimum) -> None:
    """Write down what is better than what is there."""
    less = found.log_loss < out.log_loss[regime, lanes]
    at = lanes[less]
    out.z[regime][:, at] = found.z[:, less]
    out.log_loss[regime, at] = found.log_loss[less]
    out.multipliers[regime][:, at] = found.multipliers[:, less]
    out.kkt[regime, at] = found.kkt[less]
    out.agreement[regime, at] = found.agreement[less]
    out.gap[regime, at] = found.gap[less]


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
        out.blame[:, lanes] = clash(
            right_sides(mine, regime),
            problem.log_tokens,
            problem.serving,
            problem.first_share,
            regime,
            problem.serves,
        )


def _improve(
    law: Law,
    out: Solved,
    regime: int,
    lanes: np.ndarray,
    problem: Problem,
    theta: np.ndarray,
    gap: float,
) -> None:
    """Prove the best of a regime; where branch and bound sees better, polish that and take it."""
    count = len(lanes)
    these = mapped(terms, count, ("terms", problem.regime), theta, problem, static=law)
    start = np.zeros((len(problem.low), count))
    known = out.log_loss[regime, lanes]
    proof = prove(these, problem, start, known, gap)
    better = np.flatnonzero(proof.log_loss < known - 1e-9)
    if len(better):
        mine, some = jax.tree.map(lambda leaf: leaf[..., better], (these, problem))
        state = mapped(begin, len(better), "begin", some, list(proof.u[:, better]))
        state = path(mine, some, state)
        loss = mapped(value, len(better), "value", mine, state.u)
        z = mapped(_z, len(better), "z", some, state.u)
        _keep(out, regime, lanes[better], optimum_of(some, state, z, loss))
    out.gap[regime, lanes] = np.minimum(
        out.gap[regime, lanes], out.log_loss[regime, lanes] - proof.bound
    )


def _z(problem: Problem, u: list[Array]) -> Array:
    return jnp.stack(problem.z(u))


def recipes(z: np.ndarray, question: Question, regime: Any) -> Recipe:
    """Recipes of z (4, …) with D_T and r_1 / r of the question, NumPy leaves (…)."""
    n, k, r, f = np.exp(z)
    share = np.where(np.asarray(regime) == 2, question.first_share, 1.0)
    return Recipe(n, question.target_tokens + 0.0 * n, k, r, f, share * r)
