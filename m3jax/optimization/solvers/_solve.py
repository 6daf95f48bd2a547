"""One interface to all solvers: which regimes and sizes a question has, and who solves them.

Laws made of terms (`m3`, `m3_posynomial`, `chinchilla`, …) under named limits are solved fast, the
convex ones with a certificate, the others with one on demand. Any other law or constraint goes the
general way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from ..._errors import M3Error
from ...computing import KEPT, array_namespace
from ...laws import Law
from ...options import METHODS
from ...recipe import REGIMES, TWO_STAGE, Array, Recipe
from ._augmented_lagrangian import solve_general
from ._batched import LocalOptima, as_local_optima, is_convex, map_lanes, solve_fast, solve_paths
from ._branch_and_bound import branch_and_bound
from ._faces import build_problem
from ._infeasibility import clashing_limits
from ._interior_point import TOLERANCE, PrimalDualIterate, initial_iterate, lower_bound
from ._limits import LIMIT_INDEX, LIMITS, NAMED_LIMITS
from ._log_sum_exp import as_log_sum_exp, has_terms, log_sum_exp
from ._programs import NonlinearProgram, Objective
from ._question import Question
from ._recipe_problem import RecipeProblem

# A regime must beat a simpler one by this, in log loss (nearly the relative loss): where the ratio
# goes to 1, or a stage to nothing, they are one recipe, and only the solver's error tells them
# apart. It may stop at a KKT residual of 1e-9 in each of several limits. At 1e-8 and below, maps
# show bands of single-stage between monolingual and two-stage, about a millionth of a corpus size
# wide, that are not there.
REGIME_TIE = 1e-7

_NO_DIFFERENCE = 1e-10  # of log losses
_EDGE = 1e-6  # in log passes, within which all of the text is read as few times as allowed
_FEW = 1 << 13  # problems that are solved in one batch whatever their regime
_ONE_CALL = 1 << 10  # problems
_MANY = 1 << 16  # of one regime in a batch: what their arrays take is bounded


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RegimeOptima:
    """The best of each regime of P questions.

    Attributes:
        z: logarithms of n_params, k·D_T / (tokens at hand), target_ratio and final_ratio,
            (3, 4, P); see `Question.as_read`.
        log_loss: (3, P); infinite where a regime has no allowed recipe.
        multipliers: by `LIMITS`, (3, 17, P).
        kkt, agreement: (3, P), see `LocalOptima`.
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


@lru_cache(maxsize=KEPT)  # one function a law, so that compiled code is found again
def objective_of(law: Law) -> Objective:
    """The log loss of a law: arguments are {"theta": p numbers}."""
    return lambda args, recipe: law.log_loss_of(
        dict(zip(law.names, args["theta"], strict=True)), recipe
    )


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
    program: NonlinearProgram | None = None,
    args: dict[str, np.ndarray] | None = None,
    only: Sequence[int] | None = None,
    near: np.ndarray | None = None,
) -> RegimeOptima:
    """Solve P questions: `theta` (p, P), leaves (P,) or (4, P), `regimes` on offer (3, P) bool.

    Args:
        ladder: the only model sizes; every one is solved for.
        method: "fast" for laws made of terms, "general" for any, "auto" to choose.
        certify: prove the log loss by branch and bound, to within `gap`.
        program: another objective or further constraints, general method only; its arguments are
            `args` (leaves with P first) and "theta".
        only: of `regimes` just these.
        near: z (3, 4, P) of the optima of much the same problems, to begin from. Text is read in
            part where it is there, or where that turns out to be at the edge; nothing is proven.
            The general method begins from fewer points.

    Raises `M3Error` where the method cannot solve this law or program, or prove it.
    """
    if method not in METHODS:
        raise M3Error(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    fast = has_terms(law) and program is None
    if method == "fast" and not fast:
        raise M3Error(f"law {law.name}, with these constraints, needs the general method")
    general = method == "general" or not fast
    assert near is None or not certify
    if certify and general:
        raise M3Error(
            f"law {law.name}: certify=True needs a law made of terms, such as m3, and named limits"
        )
    total = theta.shape[-1]
    out = RegimeOptima(
        z=np.zeros((len(REGIMES), 4, total)),
        log_loss=np.full((len(REGIMES), total), np.inf),
        multipliers=np.zeros((len(REGIMES), len(LIMITS), total)),
        kkt=np.full((len(REGIMES), total), np.inf),
        agreement=np.zeros((len(REGIMES), total)),
        bound=np.full((len(REGIMES), total), np.inf),
        blame=np.zeros((len(NAMED_LIMITS), total), dtype=bool),
        beyond=np.zeros(total),
    )

    def solve_batch(batch: _Batch) -> None:
        batch_theta = theta[:, batch.lanes]
        if general:
            full = jax.tree.map(lambda leaf: leaf[batch.lanes], dict(args or {}))
            effort = {} if near is None else {"spread": 32, "descents": 2}
            if program is not None and program.over_draws is not None:
                effort = {"spread": 384}  # several valleys, and cheap to look at
            optima, beyond = solve_general(
                program or NonlinearProgram(objective_of(law)),
                {**full, "theta": batch_theta.T},
                batch.problem,
                **effort,
            )
            lost = ~np.isfinite(optima.log_loss)
            out.beyond[batch.lanes[lost]] = np.maximum(beyond[lost], 0.0)
        else:
            begin = None if near is None else near[batch.regime, :, batch.lanes].T
            optima = _solve_fast_or_general(law, batch_theta, batch.problem, begin)
        _record_better(out, batch, optima)
        proven = np.isfinite(optima.gap)
        bound = np.where(proven, optima.log_loss, 0.0) - np.where(proven, optima.gap, np.inf)
        np.minimum.at(out.bound, (batch.regime, batch.lanes), bound)

    kinds = range(len(REGIMES)) if only is None else only
    faces = _faces(question, regimes, near)
    batches = list(_batches(question, faces, ladder, kinds))
    for batch in batches:
        solve_batch(batch)
    if near is not None:
        # At the edge between the faces, and where one allows nothing, the best may be beyond it.
        edge = np.abs(out.z[:, 1] - np.log(question.fewest_passes())) <= _EDGE
        beyond = ~faces & (regimes & (edge | ~np.isfinite(out.log_loss)))
        for batch in _batches(question, beyond, ladder, kinds):
            solve_batch(batch)
        out.bound[np.isfinite(out.bound)] = -np.inf  # of one face it is none of the regime
    _record_clashing_limits(out, question, regimes)
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


def _faces(question: Question, regimes: np.ndarray, near: np.ndarray | None) -> np.ndarray:
    """Faces to be solved, (2, 3, P) bool: all text read, and a part of it; see `_recipe_problem`.

    Both, or the one where the optimum of much the same problem is.
    """
    if near is None:
        return np.stack([regimes, regimes])
    in_part = near[:, 1] < np.log(question.fewest_passes()) - _EDGE
    return np.stack([regimes & ~in_part, regimes & in_part])


def _batches(
    question: Question, faces: np.ndarray, ladder: Sequence[float] | None, only: Iterable[int]
) -> Iterator[_Batch]:
    """All problems that have a solution: few together, many by regime and so many sizes."""
    sizes = np.asarray(ladder if ladder else [np.nan])
    lift = int(faces.any(axis=0).sum()) * len(sizes) <= _FEW
    parts: list[_Batch] = []
    for regime in only:
        offered = np.flatnonzero(faces[:, regime].any(axis=0))
        at_once = max(1, _MANY // max(1, len(offered)))
        for i in range(0, len(sizes) if len(offered) else 0, at_once):
            some = sizes[i : i + at_once]
            asked = np.tile(offered, len(some))
            asking = jax.tree.map(lambda leaf, o=asked: leaf[..., o], question)
            if ladder:
                asking = _at_size(asking, np.repeat(some, len(offered)))
            for in_part in (False, True):
                problem, possible = build_problem(asking, regime, lift=lift, in_part=in_part)
                possible &= faces[int(in_part), regime, asked]
                lanes = asked[possible]
                if len(lanes):
                    parts.append(_Batch(np.full(len(lanes), regime), lanes, problem.take(possible)))
            if parts and not lift:
                yield _joined(parts)
                parts = []
    if parts:
        yield _joined(parts)


def _joined(parts: Sequence[_Batch]) -> _Batch:
    """Batches of the same variables as one.

    Of few problems with all limits but one, which decides how they are solved: a limit that is not
    there takes less to compute than another program to compile.
    """
    needed = {name for part in parts for name in part.problem.rows}
    if sum(len(part.lanes) for part in parts) <= _ONE_CALL and parts[0].problem.regime == TWO_STAGE:
        needed |= {*NAMED_LIMITS} - {"source_tokens"}
    rows = tuple(name for name in NAMED_LIMITS if name in needed)
    serves = any(part.problem.serves for part in parts)
    parts = [
        part._replace(problem=dataclasses.replace(part.problem, rows=rows, serves=serves))
        for part in parts
    ]
    joined: _Batch = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=-1), *parts)
    return joined


def _at_size(question: Question, size: np.ndarray) -> Question:
    """The questions with one model size each, impossible where that is out of bounds."""
    inside = (question.low[0] <= size * (1 + 1e-9)) & (size <= question.high[0] * (1 + 1e-9))
    low, high = np.array(question.low), np.array(question.high)
    low[0], high[0] = size, np.where(inside, size, size / 2)
    return dataclasses.replace(question, low=low, high=high)


def _solve_fast_or_general(
    law: Law, theta: np.ndarray, problem: RecipeProblem, near: np.ndarray | None
) -> LocalOptima:
    """The fast way, and the general one for what did not converge."""
    optima = solve_fast(law, theta, problem, near)
    left = np.flatnonzero(~(optima.kkt <= 1e3 * TOLERANCE))
    if len(left):
        args, some = {"theta": theta.T[left]}, problem.take(left)
        again, _ = solve_general(NonlinearProgram(objective_of(law)), args, some)
        if is_convex(law, some):
            again = again._replace(gap=_duality_gap(law, theta[:, left], some, again))
        less = again.log_loss <= optima.log_loss[left]
        for old, new in zip(optima, again, strict=True):
            old[..., left[less]] = new[..., less]
    return optima


def _duality_gap(
    law: Law, theta: np.ndarray, problem: RecipeProblem, optima: LocalOptima
) -> np.ndarray:
    """Duality gap of convex problems that were solved the general way."""
    n, k, r, f = optima.z
    u = [n, k, r, f - problem.tilt * r][: len(problem.low)]
    multipliers = [optima.multipliers[LIMIT_INDEX[name]] for name in problem.rows]
    count = len(n)
    terms = map_lanes(as_log_sum_exp, count, ("terms", problem.regime), theta, problem, law=law)
    state = PrimalDualIterate(u, multipliers, optima.kkt)
    bound = map_lanes(lower_bound, count, "lower_bound", terms, problem, state)
    sound = np.isfinite(optima.log_loss) & np.isfinite(bound)
    return np.where(sound, np.where(sound, optima.log_loss, 0.0) - bound, np.inf)


def _record_better(out: RegimeOptima, batch: _Batch, optima: LocalOptima) -> None:
    """Write down what is better than what is there.

    Where it makes no difference, all of the text is read.
    """
    rank = optima.log_loss + np.where(batch.problem.in_part, _NO_DIFFERENCE, 0.0)
    for regime in np.unique(batch.regime):
        of_regime = np.flatnonzero(batch.regime == regime)
        # One size after the other: of several lanes of a question the best must stay.
        order = of_regime[np.argsort(-rank[of_regime], kind="stable")]
        order = order[rank[order] < out.log_loss[regime, batch.lanes[order]]]
        at = batch.lanes[order]
        out.z[regime][:, at] = optima.z[:, order]
        out.log_loss[regime, at] = optima.log_loss[order]
        out.multipliers[regime][:, at] = optima.multipliers[:, order]
        out.kkt[regime, at] = optima.kkt[order]
        out.agreement[regime, at] = optima.agreement[order]


def _record_clashing_limits(out: RegimeOptima, question: Question, regimes: np.ndarray) -> None:
    """Which limits clash where nothing is allowed."""
    lost = np.flatnonzero(~np.isfinite(out.log_loss).any(axis=0) & (out.beyond == 0))
    simplest = np.argmax(regimes, axis=0)
    for regime in range(len(REGIMES)):
        lanes = lost[(simplest[lost] == regime) & regimes[regime, lost]]
        if not len(lanes):
            continue
        infeasible = jax.tree.map(lambda leaf, o=lanes: leaf[..., o], question)
        # To read a part of the text asks for the least.
        out.blame[:, lanes] = clashing_limits(build_problem(infeasible, regime, in_part=True)[0])


def _prove(law: Law, out: RegimeOptima, batch: _Batch, theta: np.ndarray, gap: float) -> np.ndarray:
    """Proven bounds of a batch; where branch and bound sees better, polish that and take it."""
    problem, count = batch.problem, len(batch.lanes)
    terms = map_lanes(as_log_sum_exp, count, ("terms", problem.regime), theta, problem, law=law)
    known = out.log_loss[batch.regime, batch.lanes]
    proof = branch_and_bound(terms, problem, np.zeros((len(problem.low), count)), known, gap)
    better = np.flatnonzero(proof.log_loss < known - 1e-9)
    if len(better):
        better_terms, some = jax.tree.map(lambda leaf: leaf[..., better], (terms, problem))
        state = map_lanes(
            initial_iterate, len(better), "initial_iterate", some, list(proof.u[:, better])
        )
        state = solve_paths(better_terms, some, state)
        loss = map_lanes(log_sum_exp, len(better), "value", better_terms, state.u)
        z = map_lanes(_z, len(better), "z", some, state.u)
        part = _Batch(batch.regime[better], batch.lanes[better], some)
        _record_better(out, part, as_local_optima(some, state, z, loss))
    return proof.bound


def _z(problem: RecipeProblem, u: list[Array]) -> Array:
    return array_namespace(u[0]).stack(problem.z(u))


def recipes(z: np.ndarray, question: Question, regime: Any) -> Recipe:
    """Recipes of z (4, …) with the text and r_1 / r of the question, NumPy leaves (…)."""
    n, passes, r, f = np.exp(z)
    share = np.where(np.asarray(regime) == 2, question.first_share, 1.0)
    tokens, epochs = question.as_read(passes)
    return Recipe(n, tokens, epochs, r, f, share * r)


def best_regime(log_loss: np.ndarray) -> np.ndarray:
    """Regime with the lowest log loss (3, …), the first and so the simplest of equals.

    From the simplest on, a regime takes the place of a simpler one that it beats by `REGIME_TIE`.
    −1 where no regime is allowed: all are infinite.
    """
    best, lowest = np.zeros(log_loss.shape[1:], dtype=np.int64), log_loss[0]
    for regime in range(1, len(log_loss)):
        better = log_loss[regime] < lowest - REGIME_TIE
        best, lowest = np.where(better, regime, best), np.where(better, log_loss[regime], lowest)
    return np.where(np.isfinite(lowest), best, -1)
