"""A barrier method over the ratios of many languages, with a bound from duality.

Boyd and Vandenberghe, "Convex Optimization" (2004), chapter 11.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_BARRIERS = 10.0 ** -np.arange(-1.0, 9.0)  # weights of the barrier, over the mean loss
_NEWTON = 60  # steps at each


class BarrierDomain(NamedTuple):
    """Where x = (n, d, q, p_1 … p_L) may be; a row is head·(n, d, q) + tail·p_which <= limit.

    Beside the rows, log Σ exp(p) + q <= 0.
    """

    head: np.ndarray  # (M, 3)
    tail: np.ndarray  # (M,)
    which: np.ndarray  # (M,)
    limit: np.ndarray  # (M,)
    low: np.ndarray
    high: np.ndarray

    def slacks(self, x: np.ndarray) -> np.ndarray:
        """What is left of every limit, the ratios' last."""
        used = self.head @ x[:3] + self.tail * x[3 + self.which]
        return np.append(self.limit - used, -(log_sum(x[3:]) + x[2]))

    def slope(self, multipliers: np.ndarray) -> np.ndarray:
        """Σ multiplier·gradient of the rows."""
        count = len(self.low) - 3
        tail = np.bincount(self.which, multipliers * self.tail, count)
        return np.concatenate([multipliers @ self.head, tail])

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Σ weight·gradient·gradientᵀ of the rows."""
        count = len(self.low) - 3
        out = np.zeros((count + 3, count + 3))
        out[:3, :3] = (self.head.T * weights) @ self.head
        for i in range(3):
            mixed = weights * self.tail * self.head[:, i]
            out[i, 3:] = out[3:, i] = np.bincount(self.which, mixed, count)
        own = np.bincount(self.which, weights * self.tail**2, count)
        out[3:, 3:][np.diag_indices(count)] = own
        return out


class End(NamedTuple):
    x: np.ndarray
    value: float
    kkt: float
    bound: float


def log_sum(p: np.ndarray) -> float:
    top = p.max()
    return float(top + np.log(np.exp(p - top).sum()))


def descend(mean_loss: Any, space: BarrierDomain, x: np.ndarray) -> End:
    """Follow the barrier from a point inside to the end."""
    value, gradient, hessian = mean_loss(x)
    scale = value
    barriers = scale * _BARRIERS / len(space.limit)
    for barrier in barriers:
        last = barrier == barriers[-1]  # on the way there the path need not be met exactly
        for _ in range(_NEWTON):
            push, curve = _barrier(space, x)
            g = gradient + barrier * push
            step = _newton(hessian + barrier * curve, g)
            decrease = -float(g @ step)
            if not decrease > (1e-10 if last else 1e-2) * barrier:
                break
            before = space.slacks(x)
            now = value - barrier * np.log(before).sum()
            t = 1.0
            while t > 1e-12:
                trial = x + t * step
                slacks = space.slacks(trial)
                if np.all(slacks > 0.01 * before):
                    found = mean_loss(trial)
                    then = found[0] - barrier * np.log(slacks).sum()
                    if then <= now - 1e-4 * t * decrease + 1e-13 * abs(now):
                        break
                t /= 2
            else:
                break
            x, (value, gradient, hessian) = trial, found
    return _ended(space, x, value, gradient, barrier)


def _barrier(space: BarrierDomain, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of −Σ log slack."""
    slacks = space.slacks(x)
    linear, last = slacks[:-1], slacks[-1]
    share = np.exp(x[3:] - log_sum(x[3:]))
    slope = np.concatenate([[0.0, 0.0, 1.0], share])  # of log Σ exp(p) + q
    gradient = space.slope(1 / linear) + slope / last
    hessian = space.curvature(linear**-2.0) + np.outer(slope, slope) / last**2
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
    space: BarrierDomain, x: np.ndarray, value: float, gradient: np.ndarray, barrier: float
) -> End:
    """KKT residual, and the bound of weak duality: the Lagrangian lies above its tangent."""
    multipliers = barrier / space.slacks(x)
    share = np.exp(x[3:] - log_sum(x[3:]))
    total = gradient + space.slope(multipliers[:-1])
    total += np.concatenate([[0.0, 0.0, 1.0], share]) * multipliers[-1]
    kkt = max(float(np.abs(total).max()), barrier) / value
    bound = value - barrier * len(multipliers)
    bound += float(np.minimum(total * (space.low - x), total * (space.high - x)).sum())
    return End(x, value, kkt, bound)
