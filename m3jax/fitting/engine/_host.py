"""Levenberg–Marquardt from Python: nothing to compile, for a few fits or many.

The other engine (`_solver`) compiles a whole descent, which takes longer than everything else where
there are a few hundred fits. Here NumPy makes the same steps, most of the way in single precision
too, in blocks that stay in the cache. Fits go on side by side: `data` and x have a leading axis of
B fits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from ..._batching import take_rows, worker_count
from ...laws import Law, LogSpaceLaw
from ._amplitudes import amplitude_indices, best_log_amplitudes
from ._objective import (
    FitData,
    FitResiduals,
    Resample,
    evaluate_residuals,
    misfit,
)
from ._points import POINTS_AT_ONCE, LawAtRuns
from ._search import RIVALS, BestFits
from ._step import DescentState, Solution, StepControl, advance, first_state

_FINISH = 300  # iterations
_CROWDED = 0.9  # share of fits still going, up to which those that are done wait with them
# Descents come from rough starts, and elimination with pivoting takes worse conditioned systems
# than Cholesky's factorisation.
_FIRST_DAMPING, _LEAST_DAMPING = 1e-3, {"float64": 1e-12, "float32": 1e-6}


def _residuals_and_jacobian(
    at_runs: LawAtRuns, x: np.ndarray, data: FitData
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (B, n) at x (B, p), zero on padding, and their Jacobian in x, (B, p, n)."""
    theta = np.einsum("bij,bj->bi", data.centre, x)
    predicted, slopes = at_runs.log_losses_and_slopes(theta)
    residual = np.where(data.weight > 0, predicted - data.log_loss, x.dtype.type(0))
    return residual, np.swapaxes(data.centre, 1, 2) @ slopes


def _control(tolerance: float, precision: str) -> StepControl:
    return StepControl(tolerance, _FIRST_DAMPING, _LEAST_DAMPING[precision])


def _in_precision(tree: Any, precision: str) -> Any:
    """The floating leaves of a pytree in another precision."""

    def cast(leaf: np.ndarray) -> np.ndarray:
        return leaf.astype(precision, copy=False) if leaf.dtype.kind == "f" else leaf

    return jax.tree.map(cast, tree)


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrix, right[..., None])[..., 0]


class _Tasks(NamedTuple):
    """Descents of fits that share what they see with others.

    Attributes:
        start: (T, p).
        language: whose data each sees, (T,).
        data: leading axis L.
        free: which of x each may move, (T, p).
        resampled: the runs of each, leaves (T, ...); those of its language where None.
    """

    start: np.ndarray
    language: np.ndarray
    data: FitData
    free: np.ndarray
    resampled: Resample | None = None

    @classmethod
    def one_each(cls, start: np.ndarray, data: FitData) -> _Tasks:
        """A descent of each of B fits, from `start` (B, p)."""
        return cls(start, np.arange(len(start)), data, data.free)

    def data_of(self, tasks: np.ndarray) -> FitData:
        """What some of them see, leading axis as `tasks`."""
        own = {"free": self.free[tasks]}
        if self.resampled is not None:
            own |= take_rows(self.resampled, tasks)._asdict()
        return dataclasses.replace(take_rows(self.data, self.language[tasks]), **own)


def minimise_on_host(
    law: Law,
    start: np.ndarray,
    data: FitData,
    *,
    max_iterations: int,
    control: StepControl,
) -> Solution:
    """`minimise` from `start` (B, p) for B fits, each of which stops where it is done."""
    return _minimise(law, _Tasks.one_each(start, data), max_iterations, control, "float64")


def _minimise(
    law: Law, tasks: _Tasks, max_iterations: int, control: StepControl, precision: str
) -> Solution:
    """Descents of all tasks, on all cores where there are many."""
    at_runs = _in_precision(LawAtRuns.of(law, tasks.data.recipe), precision)
    every = np.arange(len(tasks.start))
    points = POINTS_AT_ONCE * (1 if precision == "float64" else 2)
    width = max(1, points // tasks.data.weight.shape[1])
    shares = np.array_split(every, max(1, min(worker_count(), len(every) // width)))
    with ThreadPoolExecutor(len(shares)) as pool:
        parts = pool.map(
            lambda share: _in_turn(
                at_runs, tasks, share, width, max_iterations, control, precision
            ),
            shares,
        )
        return Solution(*map(np.concatenate, zip(*parts, strict=True)))


def _in_turn(
    at_runs: LawAtRuns,
    tasks: _Tasks,
    numbers: np.ndarray,
    width: int,
    max_iterations: int,
    control: StepControl,
    precision: str,
) -> Solution:
    """Descents of some tasks, `width` at a time: those that end make room for others."""

    def admitted(places: np.ndarray) -> tuple[DescentState, FitData, LawAtRuns]:
        some = numbers[places]
        data = _in_precision(tasks.data_of(some), precision)
        start = tasks.start[some].astype(precision)
        first = first_state(start, data.box, control, np)
        return first, data, at_runs.take(tasks.language[some])

    places, begun = np.arange(min(width, len(numbers))), min(width, len(numbers))
    going = np.ones(begun, dtype=bool)
    with np.errstate(all="ignore"):  # what is not finite is refused
        state, data, here = admitted(places)
        shapes = [(leaf.shape[1:], leaf.dtype) for leaf in Solution.of(state)]
        ends = Solution(*(np.empty((len(numbers), *shape), dtype) for shape, dtype in shapes))
        while len(places):
            found = _residuals_and_jacobian(here, state.trial, data)
            evaluation = evaluate_residuals(*found, state.trial, data, np)
            state = advance(state, evaluation, data.box, control, solve=_solve, xp=np)
            ended = going & (state.done | (state.iteration >= max_iterations))
            for end, leaf in zip(ends, Solution.of(state), strict=True):
                end[places[ended]] = leaf[ended]
            going &= ~ended
            rows = np.flatnonzero(going)
            if len(rows) > _CROWDED * len(places):
                continue
            state, data, here = take_rows((state, data, here), rows)
            new = np.arange(begun, min(begun + width - len(rows), len(numbers)))
            if len(new):
                both = (state, data, here), admitted(new)
                state, data, here = jax.tree.map(lambda *leaves: np.concatenate(leaves), *both)
            places, begun = np.concatenate([places[rows], new]), begun + len(new)
            going = np.ones(len(places), dtype=bool)
    return ends


def _with_best_amplitudes(law: Law, x: np.ndarray, data: FitData) -> tuple[np.ndarray, np.ndarray]:
    """x (B, p) with the free amplitudes that fit best given the rest, and its misfit (B,).

    A term's share of the loss is the derivative of the log loss in its log amplitude, so the terms
    can be read off the Jacobian. Of laws whose terms are not simply added, x as it is.
    """
    with np.errstate(all="ignore"):
        residual, jacobian = _residuals_and_jacobian(LawAtRuns.of(law, data.recipe), x, data)
        if isinstance(law, LogSpaceLaw) and law.combine is None:
            at = amplitude_indices(law)
            share = np.exp(np.minimum(residual, 50.0))[:, None] * np.maximum(jacobian[:, at], 0.0)
            share = np.where(np.isfinite(share), share, 0.0)  # of the measured loss, (B, t, n)
            loss = np.exp(data.log_loss)
            diluting = np.array([name in law.diluting for name in law.terms])
            # Of log(1 + x) the derivative is x / (1 + x).
            diluted = np.minimum(share[:, diluting] * loss[:, None], 1 - 1e-12)
            share[:, diluting] = -np.log1p(-diluted) / loss[:, None]
            log = best_log_amplitudes(
                share, x[:, at], data.free[:, at], data, np, diluting=diluting
            )
            log = np.where(
                data.free[:, at], np.clip(log, data.lower[:, at], data.upper[:, at]), x[:, at]
            )
            factor = np.exp(np.minimum(log - x[:, at], 300.0))
            share[:, ~diluting] *= factor[:, ~diluting, None]
            more = factor[:, diluting, None] * diluted / (1 - diluted)
            share[:, diluting] = np.log1p(more) / loss[:, None]
            fitted = np.sum(share, axis=1)
            residual = np.where(data.weight > 0, np.log(fitted), 0.0)
            x = x.copy()
            x[:, at] = log
        value = misfit(residual, data, np)
    return x, np.where(np.isfinite(value), value, np.inf)


class HostDescents(NamedTuple):
    """`Descents` by NumPy.

    Attributes:
        law: that is fitted.
        tolerance: relative gain at which a finished fit has converged.
    """

    law: Law
    tolerance: float

    def rank(self, candidates: np.ndarray, data: FitData, count: int) -> np.ndarray:
        """See `Descents`."""
        total, many, p = candidates.shape
        flat, language = candidates.reshape(-1, p), np.repeat(np.arange(total), many)

        def block(tasks: slice) -> tuple[np.ndarray, np.ndarray]:
            return _with_best_amplitudes(self.law, flat[tasks], take_rows(data, language[tasks]))

        x, value = _in_blocks(block, len(flat), data)
        order = np.argsort(value.reshape(total, many), axis=1, kind="stable")[:, :count]
        return np.take_along_axis(x.reshape(candidates.shape), order[..., None], axis=1)

    def descend(
        self,
        starts: np.ndarray,
        data: FitData,
        rounds: tuple[int, ...],
        tolerance: float,
        *,
        held: np.ndarray | None = None,
        resampled: Resample | None = None,
    ) -> Solution:
        """See `Descents`."""
        count, many, p = starts.shape
        flat, language = starts.reshape(-1, p), np.repeat(np.arange(count), many)
        moves = data.free[language]
        if held is not None:
            moves &= ~held.reshape(-1, p)

        own = resampled and Resample(*(leaf.reshape(-1, leaf.shape[-1]) for leaf in resampled))
        tasks = _Tasks(flat, language, data, moves, own)
        ends = _minimise(self.law, tasks, sum(rounds), _control(tolerance, "float32"), "float32")
        return Solution(
            *(leaf.reshape(count, many, *leaf.shape[1:]) for leaf in _in_precision(ends, "float64"))
        )

    def residuals_and_jacobian(self, x: np.ndarray, data: FitData) -> FitResiduals:
        """See `Descents`."""
        at_runs = LawAtRuns.of(self.law, data.recipe)
        residual, jacobian = _residuals_and_jacobian(at_runs, x, data)
        jacobian = np.where(data.weight[:, None] > 0, jacobian, 0.0)
        return FitResiduals(misfit(residual, data, np), residual, np.swapaxes(jacobian, 1, 2))

    def finish(self, x: np.ndarray, data: FitData) -> BestFits:
        """See `Descents`."""
        control = _control(self.tolerance, "float64")
        end = minimise_on_host(self.law, x, data, max_iterations=_FINISH, control=control)
        at_end = self.residuals_and_jacobian(end.x, data)
        return BestFits(
            end.x,
            np.where(np.isfinite(end.value), at_end.misfit, np.inf),
            np.array(data.prior_weight),
            end.converged,
            np.ones(len(x)),
            np.array(data.delta),
            at_end.residual,
            at_end.jacobian,
            np.repeat(end.x[:, None], RIVALS, axis=1),
        )


def _in_blocks(work: Callable[[slice], Any], total: int, data: FitData) -> list[np.ndarray]:
    """The leaves of what `work` gives for all tasks, block by block, on all cores."""
    size = max(1, POINTS_AT_ONCE // data.weight.shape[1])
    blocks = [slice(first, min(first + size, total)) for first in range(0, total, size)]
    if len(blocks) == 1:
        return list(work(blocks[0]))
    with ThreadPoolExecutor(worker_count()) as pool:
        return [np.concatenate(leaves) for leaves in zip(*pool.map(work, blocks), strict=True)]
