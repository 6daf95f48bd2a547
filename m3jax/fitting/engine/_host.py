"""A few fits of many laws: Levenberg–Marquardt on the host, in all fits at once.

The engine for many languages (`_solver`) compiles a whole descent, which pays where there are
hundreds of fits and takes longer than everything else where there are a few. Here losses and their
Jacobian alone are compiled, which is tens of times sooner done, and NumPy makes the steps: of the
same objective, with the same reweighting and damping, in float64 throughout.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np

from ..._batching import take_rows
from ...laws import Law, LogSpaceLaw
from ...recipe import Array, Recipe
from ._objective import FitData, dispersion
from ._search import BestFits

_SCREEN, _FINISH = 30, 300  # iterations
_SETTLED = 1e-4  # relative gain at which screening stops
_TINY = 1e-18
_SWEEPS = 30  # of coordinate descent over the amplitudes
_SMALL_SHARE = 2e-3  # of the loss, that a start gives a term at least
_STIFFNESS = (0.25, 1.5)  # as in `_solver`
_LEAST, _MOST = 1e-12, 1e10  # damping


@cache
def _compiled(law: Law) -> Any:
    """Log losses (B, n) of `law` at theta (B, p) and their derivatives (B, n, p)."""

    def run(theta: Array, recipe: Recipe) -> tuple[Array, Array]:
        return jax.value_and_grad(law.log_loss_theta)(theta, recipe)

    return jax.jit(jax.vmap(jax.vmap(run, in_axes=(None, 0))))


class _Batch:
    """Fits that go on side by side, B of them; `language` (B,) says whose runs each is of."""

    def __init__(self, law: Law, data: FitData, language: np.ndarray, delta: float) -> None:
        self.law, self.delta = law, delta
        self.data: FitData = take_rows(data, language)

    def look(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (B, n), zero on padding, and their Jacobian in x, (B, n, p)."""
        data = self.data
        theta = np.einsum("bij,bj->bi", data.centre, x)
        with np.errstate(over="ignore", invalid="ignore"):
            predicted, slope = (np.asarray(v) for v in _compiled(self.law)(theta, data.recipe))
            residual = np.where(data.weight > 0, predicted - data.log_loss, 0.0)
            jacobian = slope @ data.centre
        return residual, np.where(data.weight[..., None] > 0, jacobian, 0.0)

    def misfit(self, residual: np.ndarray) -> np.ndarray:
        """Sum of Huber losses, (B,)."""
        size = np.abs(residual)
        huber = np.where(
            size <= self.delta, 0.5 * residual**2, self.delta * (size - 0.5 * self.delta)
        )
        return np.sum(self.data.weight * huber, axis=1)

    def surprise(self, x: np.ndarray) -> np.ndarray:
        """Negative log density of the prior, (B,)."""
        off = x - self.data.prior_mean
        return 0.5 * np.einsum("bi,bij,bj->b", off, self.data.prior_precision, off)

    def minimise(
        self, start: np.ndarray, noise: np.ndarray, iterations: int, tolerance: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ends (B, p), objectives (B,) and which converged, of descents from `start` (B, p)."""
        data = self.data
        count, p = start.shape
        trial = np.clip(start, data.lower, data.upper)
        x, value = trial.copy(), np.full(count, np.inf)
        gradient, curvature = np.zeros((count, p)), np.tile(np.eye(p), (count, 1, 1))
        slope, bend, damping, stiffness = (np.full(count, v) for v in (0.0, 0.0, 1e-3, 1.0))
        done, converged = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        precision = noise[:, None, None] * data.prior_precision
        for iteration in range(iterations):
            residual, jacobian = self.look(trial)
            new = self.misfit(residual) + noise * self.surprise(trial)
            new = np.where(np.isfinite(new) & np.isfinite(jacobian).all(axis=(1, 2)), new, np.inf)
            rounding = 2 * np.finfo(float).eps * np.abs(value)
            better = ~done & (new < np.where(np.isfinite(value), value + rounding, np.inf))
            if iteration:
                gain = np.where(np.isfinite(value), value, 0.0) - new
                promised = -(slope + 0.5 * stiffness * bend)
                with np.errstate(divide="ignore", invalid="ignore"):
                    ratio = gain / np.maximum(promised, 1e-300)
                    felt = 2 * (-gain - slope) / bend
                telling = np.abs(gain) > 40 * rounding
                ratio = np.where(telling, ratio, 1.0)
                by = np.where(ratio > 0.75, 0.2, np.where(ratio < 0.25, 2.0, 1.0))
                damping = np.clip(damping * np.where(better, by, 4.0), _LEAST, _MOST)
                known = telling & np.isfinite(felt) & (bend > 0)
                stiffness = np.where(known, np.clip(felt, *_STIFFNESS), stiffness)
                level = ~better & (np.abs(promised) <= tolerance * value)
                converged |= level & ~done
                done |= level | (damping >= _MOST)
            if better.any():
                closeness = self.delta / np.maximum(np.abs(residual), self.delta)
                weight = data.weight * closeness**1.5
                pull = data.weight * np.clip(residual, -self.delta, self.delta)
                normal = jacobian.swapaxes(1, 2) @ (jacobian * weight[..., None]) + precision
                slopes = np.einsum("bnp,bn->bp", jacobian, pull)
                slopes += np.einsum("bij,bj->bi", precision, trial - data.prior_mean)
                x[better], value[better] = trial[better], new[better]
                gradient[better], curvature[better] = slopes[better], normal[better]
            done |= ~np.isfinite(value)
            if done.all():
                break
            pressed = ((x <= data.lower) & (gradient > 0)) | ((x >= data.upper) & (gradient < 0))
            moving = data.free & ~pressed
            diagonal = np.einsum("bii->bi", curvature)
            floor = 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300
            scale = moving / np.sqrt(np.maximum(diagonal, floor))
            scaled = stiffness[:, None, None] * curvature * scale[:, None] * scale[..., None]
            scaled[:, np.arange(p), np.arange(p)] += damping[:, None] + 1.0 - moving
            move = -scale * np.linalg.solve(scaled, (gradient * scale)[..., None])[..., 0]
            promise = -0.5 * np.einsum("bp,bp->b", gradient, move)
            trial = np.where(done[:, None], x, np.clip(x + move, data.lower, data.upper))
            move = trial - x
            slope = np.einsum("bp,bp->b", gradient, move)
            bend = np.einsum("bi,bij,bj->b", move, curvature, move)
            steady = np.clip(10 * tolerance, _LEAST, 1e-3)
            stationary = ~done & (promise <= tolerance * value + _TINY) & (damping <= steady)
            converged |= stationary
            done |= stationary
            if done.all():
                break
        return x, value, converged

    def with_best_amplitudes(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (B, p) with the free amplitudes that fit best given the rest, and its misfit (B,).

        A term's share of the loss is the derivative of the log loss in its log amplitude, so the
        sizes of the terms can be read off the Jacobian. Of laws whose terms are not simply added,
        x as it is.
        """
        law, data = self.law, self.data
        residual, jacobian = self.look(x)
        if not isinstance(law, LogSpaceLaw) or law.combine is not None:
            return x, _finite(self.misfit(residual))
        at = np.array([law.names.index(name) for name in law.terms])
        relative = np.exp(np.minimum(residual, 50.0))[..., None] * np.maximum(jacobian[..., at], 0)
        relative = np.where(np.isfinite(relative), relative, 0.0)  # (B, n, terms)
        free = data.free[:, at]
        held = np.sum(np.where(free[:, None], 0.0, relative), axis=2)
        sizes = np.where(free[:, None], relative, 0.0)
        weighted = sizes * data.weight[..., None]
        gram = weighted.swapaxes(1, 2) @ sizes
        right = np.einsum("bnt,bn->bt", weighted, 1.0 - held)
        diagonal = np.maximum(np.einsum("btt->bt", gram), 1e-300)
        # Factors on the amplitudes that x has.
        found = np.zeros_like(right)
        for _ in range(_SWEEPS):
            for t in range(len(at)):
                step = (right[:, t] - np.einsum("bt,bt->b", gram[:, t], found)) / diagonal[:, t]
                found[:, t] = np.maximum(found[:, t] + step, 0.0)
        typical = np.sum(data.weight * data.log_loss, axis=1) / np.sum(data.weight, axis=1)
        size = np.log(np.maximum(found, 1e-300)) + x[:, at]
        least = np.log(_SMALL_SHARE) + typical[:, None]
        size = np.clip(np.maximum(size, least), data.lower[:, at], data.upper[:, at])
        size = np.where(free, size, x[:, at])
        fitted = np.sum(relative * np.exp(np.minimum(size - x[:, at], 300.0))[:, None], axis=2)
        with np.errstate(divide="ignore"):
            residual = np.where(data.weight > 0, np.log(fitted), 0.0)
        better = x.copy()
        better[:, at] = size
        return better, _finite(self.misfit(residual))


def _finite(value: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(value), value, np.inf)


def multi_start_on_host(
    law: Law, candidates: np.ndarray, data: FitData, delta: float, starts: int, tolerance: float
) -> BestFits:
    """`multi_start` for a few languages: (L, C, p) candidates, of which `starts` are followed.

    As there, the noise of the best descents tells what the prior weighs.
    """
    count, many, p = candidates.shape
    everyone = np.repeat(np.arange(count), starts)
    batch = _Batch(law, data, everyone, delta)
    # As many at a time as there are descents: one shape to compile.
    groups = -(-many // starts)
    padded = candidates[:, np.minimum(np.arange(groups * starts), many - 1)]
    parts = [
        batch.with_best_amplitudes(padded[:, g * starts : (g + 1) * starts].reshape(-1, p))
        for g in range(groups)
    ]
    x = np.concatenate([x.reshape(count, starts, p) for x, _ in parts], axis=1)
    value = np.concatenate([v.reshape(count, starts) for _, v in parts], axis=1)
    order = np.argsort(value[:, :many], axis=1, kind="stable")[:, :starts]
    begin = np.take_along_axis(x, order[..., None], axis=1).reshape(-1, p)

    noise = np.zeros(count)
    if np.any(data.prior_precision):
        begin, value, _ = batch.minimise(begin, np.zeros(len(begin)), _SCREEN, _SETTLED)
        lowest = value.reshape(count, starts).min(axis=1)
        noise = np.where(np.isfinite(lowest), dispersion(lowest, data), 0.0)
        # The prior's own advocate takes the place of the worst descent.
        centre = np.where(data.free, data.prior_mean, candidates[:, 0])
        advocate, _ = batch.with_best_amplitudes(centre[everyone])
        worst = np.argmax(value.reshape(count, starts), axis=1) + np.arange(count) * starts
        if starts > 1:
            begin[worst] = advocate[worst]
    x, value, converged = batch.minimise(begin, noise[everyone], _FINISH, tolerance)
    value = value.reshape(count, starts)
    best = np.argmin(value, axis=1) + np.arange(count) * starts
    residual, jacobian = batch.look(x)
    misfit = np.where(np.isfinite(value.min(axis=1)), batch.misfit(residual)[best], np.inf)
    return BestFits(
        x[best],
        misfit,
        noise,
        converged[best],
        np.mean(value <= 1.001 * value.min(axis=1, keepdims=True), axis=1),
        residual[best],
        jacobian[best],
    )
