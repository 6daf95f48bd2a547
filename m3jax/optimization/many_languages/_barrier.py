"""A barrier method over the ratios of many languages, with a bound from duality.

Boyd and Vandenberghe, "Convex Optimization" (2004), chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_BARRIERS = 10.0 ** -np.arange(-1.0, 9.0)  # weights of the barrier, over the mean loss
_NEWTON = 60  # steps at each

# x -> value, gradient and Hessian.
MeanLoss = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]


class BarrierDomain(NamedTuple):
    """Where x = (n, d, q, p_1 … p_L) may be: head·(n, d, q) + tail·p_language <= limit in M rows.

    Beside the rows, log Σ exp(p) + q <= 0.

    Attributes:
        head: (M, 3).
        tail: (M,).
        language: index of the p that a row is about, (M,).
        limit: (M,).
        low, high: a box that holds all of it, (L + 3,).
    """

    head: np.ndarray
    tail: np.ndarray
    language: np.ndarray
    limit: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def slacks(self, x: np.ndarray) -> np.ndarray:
        """What is left of every limit, the ratios' last."""
        used = self.head @ x[:3] + self.tail * x[3 + self.language]
        return np.append(self.limit - used, -(log_total_ratio(x[3:]) + x[2]))

    def slope(self, multipliers: np.ndarray) -> np.ndarray:
        """Σ multiplier·gradient of the rows."""
        count = len(self.low) - 3
        tail = np.bincount(self.language, multipliers * self.tail, count)
        return np.concatenate([multipliers @ self.head, tail])

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Σ weight·gradient·gradientᵀ of the rows."""
        count = len(self.low) - 3
        out = np.zeros((count + 3, count + 3))
        out[:3, :3] = (self.head.T * weights) @ self.head
        for i in range(3):
            mixed = weights * self.tail * self.head[:, i]
            out[i, 3:] = out[3:, i] = np.bincount(self.language, mixed, count)
        own = np.bincount(self.language, weights * self.tail**2, count)
        out[3:, 3:][np.diag_indices(count)] = own
        return out


class BarrierEnd(NamedTuple):
    """Where the barrier method ended.

    Attributes:
        x: the point, (L + 3,).
        value: of the mean loss there.
        multipliers: of the domain's rows, over the value, (M,).
        kkt: largest violation of the KKT conditions, relative to the value.
        bound: proven lower bound of convex problems.
    """

    x: np.ndarray
    value: float
    multipliers: np.ndarray
    kkt: float
    bound: float


def log_total_ratio(p: np.ndarray) -> float:
    """log Σ exp(p) of log ratios p (L,)."""
    top = p.max()
    return float(top + np.log(np.exp(p - top).sum()))


def descend(mean_loss: MeanLoss, domain: BarrierDomain, x: np.ndarray) -> BarrierEnd:
    """Minimise a mean loss from a point inside, by the log-barrier method.

    For t falling from 10 to 1e-8 of the loss, damped Newton steps with backtracking minimise
    mean_loss(x) − t/M·Σ log slack(x), M being the number of rows.
    """
    value, gradient, hessian = mean_loss(x)
    scale = value
    barriers = scale * _BARRIERS / len(domain.limit)
    for barrier in barriers:
        last = barrier == barriers[-1]  # on the way there the path need not be met exactly
        for _ in range(_NEWTON):
            push, curvature = _barrier(domain, x)
            g = gradient + barrier * push
            step = _newton(hessian + barrier * curvature, g)
            decrease = -float(g @ step)
            if not decrease > (1e-10 if last else 1e-2) * barrier:
                break
            old_slacks = domain.slacks(x)
            old_sum = value - barrier * np.log(old_slacks).sum()
            length = 1.0
            while length > 1e-12:
                trial = x + length * step
                slacks = domain.slacks(trial)
                if np.all(slacks > 0.01 * old_slacks):
                    evaluated = mean_loss(trial)
                    new_sum = evaluated[0] - barrier * np.log(slacks).sum()
                    if new_sum <= old_sum - 1e-4 * length * decrease + 1e-13 * abs(old_sum):
                        break
                length /= 2
            else:
                break
            x, (value, gradient, hessian) = trial, evaluated
    return _ended(domain, x, value, gradient, barrier)


def _barrier(domain: BarrierDomain, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of −Σ log slack."""
    slacks = domain.slacks(x)
    linear, last = slacks[:-1], slacks[-1]
    share = np.exp(x[3:] - log_total_ratio(x[3:]))
    slope = np.concatenate([[0.0, 0.0, 1.0], share])  # of log Σ exp(p) + q
    gradient = domain.slope(1 / linear) + slope / last
    hessian = domain.curvature(linear**-2.0) + np.outer(slope, slope) / last**2
    hessian[3:, 3:] += (np.diag(share) - np.outer(share, share)) / last
    return gradient, hessian


def _newton(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """A descent step: Newton's, with the diagonal raised until the matrix is positive."""
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-30))
    scaled = hessian * scale[:, None] * scale
    lift = 0.0
    while True:
        try:
            np.linalg.cholesky(scaled + lift * np.eye(len(scale)))
            break
        except np.linalg.LinAlgError:
            lift = max(4 * lift, 1e-10)
    return np.linalg.solve(scaled + lift * np.eye(len(scale)), -gradient * scale) * scale


def _ended(
    domain: BarrierDomain, x: np.ndarray, value: float, gradient: np.ndarray, barrier: float
) -> BarrierEnd:
    """KKT residual, and the bound of weak duality: the Lagrangian lies above its tangent."""
    multipliers = barrier / domain.slacks(x)
    share = np.exp(x[3:] - log_total_ratio(x[3:]))
    total = gradient + domain.slope(multipliers[:-1])
    total += np.concatenate([[0.0, 0.0, 1.0], share]) * multipliers[-1]
    kkt = max(float(np.abs(total).max()), barrier) / value
    bound = value - barrier * len(multipliers)
    bound += float(np.minimum(total * (domain.low - x), total * (domain.high - x)).sum())
    return BarrierEnd(x, value, multipliers[:-1] / value, kkt, bound)
