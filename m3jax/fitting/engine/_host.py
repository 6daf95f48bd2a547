"""Levenberg–Marquardt from Python, for a few fits of many laws.

The engine for many languages (`_solver`) compiles a whole descent, which pays where there are
hundreds of fits and takes longer than everything else where there are a few. Here losses and their
Jacobian alone are compiled, which is tens of times sooner done, and NumPy makes the same steps, in
float64 throughout. Fits go on side by side: `data` and x have a leading axis of B fits.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from ..._batching import fill_rows, take_rows
from ...laws import Law, LogSpaceLaw
from ._amplitudes import amplitude_indices, best_log_amplitudes
from ._devices import rows_per_call
from ._objective import (
    FitData,
    FitResiduals,
    Resample,
    Resampler,
    evaluate_residuals,
    misfit,
)
from ._points import log_losses_and_slopes
from ._search import RIVALS, BestFits
from ._step import Evaluation, Solution, StepControl, advance, first_state

_FINISH = 300  # iterations
_TASKS = 512  # descents side by side
# Descents come from rough starts, and elimination with pivoting takes worse conditioned systems
# than Cholesky's factorisation.
_FIRST_DAMPING, _LEAST_DAMPING = 1e-3, 1e-12


def _residuals_and_jacobian(
    law: Law, x: np.ndarray, data: FitData
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (B, n) at x (B, p), zero on padding, and their Jacobian in x, (B, p, n)."""
    theta = np.einsum("bij,bj->bi", data.centre, x)
    predicted, slope = log_losses_and_slopes(law, theta, data.recipe)
    residual = np.where(data.weight > 0, predicted - data.log_loss, 0.0)
    jacobian = np.swapaxes(slope @ data.centre, 1, 2)
    return residual, np.where(data.weight[:, None] > 0, jacobian, 0.0)


def _control(tolerance: float) -> StepControl:
    return StepControl(tolerance, _FIRST_DAMPING, _LEAST_DAMPING)


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.linalg.solve(matrix, right[..., None])[..., 0]


def minimise_on_host(
    law: Law,
    start: np.ndarray,
    data: FitData,
    *,
    max_iterations: int,
    control: StepControl,
) -> Solution:
    """`minimise` from `start` (B, p) for B fits, each of which stops where it is done."""

    def evaluate(x: np.ndarray, data: FitData) -> Evaluation:
        return evaluate_residuals(*_residuals_and_jacobian(law, x, data), x, data, np)

    with np.errstate(all="ignore"):  # what is not finite is refused
        state = first_state(start, data.box, control, np)
        ends = Solution(*(np.array(leaf) for leaf in Solution.of(state)))
        left = np.arange(len(start))

        def write_down() -> None:
            for end, leaf in zip(ends, Solution.of(state), strict=True):
                end[left] = leaf

        for _ in range(max_iterations):
            evaluation = evaluate(state.trial, data)
            new = advance(state, evaluation, data.box, control, solve=_solve, xp=np)
            state = jax.tree.map(partial(_unless, state.done), state, new)
            if 2 * np.count_nonzero(state.done) >= len(left):  # the others go on by themselves
                write_down()
                going = np.flatnonzero(~state.done)
                left = left[going]
                state, data = take_rows((state, data), going)
            if not len(left):
                break
        write_down()
    return ends


def _unless(done: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """New leaves (B, ...), but old ones of the fits that are done (B,)."""
    return np.where(done.reshape(-1, *[1] * (new.ndim - 1)), old, new)


def _with_best_amplitudes(law: Law, x: np.ndarray, data: FitData) -> tuple[np.ndarray, np.ndarray]:
    """x (B, p) with the free amplitudes that fit best given the rest, and its misfit (B,).

    A term's share of the loss is the derivative of the log loss in its log amplitude, so the terms
    can be read off the Jacobian. Of laws whose terms are not simply added, x as it is.
    """
    with np.errstate(all="ignore"):
        residual, jacobian = _residuals_and_jacobian(law, x, data)
        if isinstance(law, LogSpaceLaw) and law.combine is None:
            at = amplitude_indices(law)
            share = np.exp(np.minimum(residual, 50.0))[:, None] * np.maximum(jacobian[:, at], 0.0)
            share = np.where(np.isfinite(share), share, 0.0)  # of the measured loss, (B, t, n)
            log = best_log_amplitudes(share, x[:, at], data.free[:, at], data, np)
            log = np.where(
                data.free[:, at], np.clip(log, data.lower[:, at], data.upper[:, at]), x[:, at]
            )
            factor = np.exp(np.minimum(log - x[:, at], 300.0))
            fitted = np.sum(share * factor[..., None], axis=1)
            residual = np.where(data.weight > 0, np.log(fitted), 0.0)
            x = x.copy()
            x[:, at] = log
        value = misfit(residual, data, np)
    return x, np.where(np.isfinite(value), value, np.inf)


class HostDescents(NamedTuple):
    """`Descents` for a few languages.

    Attributes:
        law: that is fitted.
        tolerance: relative gain at which a finished fit has converged.
    """

    law: Law
    tolerance: float

    def rank(self, candidates: np.ndarray, data: FitData, count: int) -> np.ndarray:
        """See `Descents`."""
        total, many, p = candidates.shape
        # As many at a time as are then kept: what their Jacobians take is bounded.
        groups = -(-many // count)
        padded = candidates[:, np.minimum(np.arange(groups * count), many - 1)]
        descents = take_rows(data, np.repeat(np.arange(total), count))
        parts = [
            _with_best_amplitudes(self.law, group.reshape(-1, p), descents)
            for group in np.split(padded, groups, axis=1)
        ]
        x = np.concatenate([x.reshape(total, count, p) for x, _ in parts], axis=1)
        value = np.concatenate([v.reshape(total, count) for _, v in parts], axis=1)
        order = np.argsort(value[:, :many], axis=1, kind="stable")[:, :count]
        return np.take_along_axis(x, order[..., None], axis=1)

    def descend(
        self,
        starts: np.ndarray,
        data: FitData,
        rounds: tuple[int, ...],
        tolerance: float,
        *,
        held: np.ndarray | None = None,
        resampler: Resampler | None = None,
    ) -> Solution:
        """See `Descents`."""
        count, many, p = starts.shape
        total, language = count * many, np.repeat(np.arange(count), many)
        size = rows_per_call(data.weight.shape[1], 1, _TASKS)
        stays = np.zeros((total, p), dtype=bool) if held is None else held.reshape(-1, p)

        def block(first: int) -> Solution:
            tasks = np.arange(first, min(first + size, total))
            some = take_rows(data, language[tasks])
            some = dataclasses.replace(some, free=some.free & ~stays[tasks])
            if resampler is not None:
                filled = fill_rows(tasks, size)
                drawn = resampler(filled[:, None], language[filled])
                own = (np.asarray(leaf)[: len(tasks), 0] for leaf in drawn)
                some = dataclasses.replace(some, **Resample(*own)._asdict())
            return minimise_on_host(
                self.law,
                starts.reshape(-1, p)[tasks],
                some,
                max_iterations=sum(rounds),
                control=_control(tolerance),
            )

        parts = zip(*map(block, range(0, total, size)), strict=True)
        ends = Solution(*map(np.concatenate, parts))
        return Solution(*(leaf.reshape(count, many, *leaf.shape[1:]) for leaf in ends))

    def residuals_and_jacobian(self, x: np.ndarray, data: FitData) -> FitResiduals:
        """See `Descents`."""
        residual, jacobian = _residuals_and_jacobian(self.law, x, data)
        return FitResiduals(misfit(residual, data, np), residual, np.swapaxes(jacobian, 1, 2))

    def finish(self, x: np.ndarray, data: FitData) -> BestFits:
        """See `Descents`."""
        end = minimise_on_host(
            self.law,
            x,
            data,
            max_iterations=_FINISH,
            control=_control(self.tolerance),
        )
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
