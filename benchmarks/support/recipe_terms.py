"""Recipe problems in NumPy, one at a time: law, gradient, limits as matrices, and SciPy's solvers.

Nothing here imports JAX, so that the peers' processes stay light.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

STAGE_SCALE = 0.15  # of `laws.m3`
SLACK = 1e-7  # a limit overstepped by less, in log units, counts as kept


class LawInTerms(Protocol):
    """What is asked of a law."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def diluting(self) -> tuple[str, ...]: ...

    @property
    def terms(self) -> Mapping[str, Mapping[str, tuple[int, str]]]: ...


@dataclasses.dataclass(frozen=True)
class Terms:
    """Log loss as a function of z = (log N, log k, log r, log r_f), in NumPy, with its gradient.

    Attributes:
        constant: (J,); slope: (J, 4); of the terms' affine parts.
        counted: exponents of the ratio that a final stage counts, (J,); r_1 is 0.
        diluting: which terms x count as log(1 + x), (J,) bool.
        penalty: (δ, ω, log R, log τ) of the last term's ρ and D_T + τ·D_S; None for a posynomial.
    """

    constant: np.ndarray
    slope: np.ndarray
    counted: np.ndarray
    diluting: np.ndarray
    penalty: tuple[float, float, float, float] | None

    @classmethod
    def of(cls, law: LawInTerms, theta: np.ndarray, tokens: float) -> Terms:
        features = {
            "n_params": (1, 0, 0, 0, 0), "epochs": (0, 1, 0, 0, 0), "target_ratio": (0, 0, 1, 0, 0),
            "final_ratio": (0, 0, 0, 1, 0), "target_tokens": (0, 0, 0, 0, 1),
            "total_tokens": (0, 1, -1, 0, 1), "repetition": (0,) * 5, "text": (0, 0, 0, 0, 1),
            "counted_ratio": (0, 0, 1, 0, 0),
        }  # fmt: skip
        named = dict(zip(law.names, theta.tolist(), strict=True))
        rows, counted = np.zeros((len(law.terms), 5)), np.zeros(len(law.terms))
        for j, powers in enumerate(law.terms.values()):
            for exponent, (sign, feature) in powers.items():
                rows[j] += sign * named[exponent] * np.array(features[feature])
                counted[j] += sign * named[exponent] * (feature == "counted_ratio")
        constant = np.array([named[a] for a in law.terms]) + rows[:, 4] * np.log(tokens)
        penalty = None
        if "R" in named:
            penalty = tuple(named[name] for name in ("delta", "omega", "R", "tau"))
        diluting = np.array([name in law.diluting for name in law.terms])
        return cls(constant, rows[:, :4], counted, diluting, penalty)

    def with_gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Log loss and gradient (4,)."""
        logs = self.constant + self.slope @ z
        slope = self.slope.copy()
        if self.penalty is not None:
            delta, omega, log_scale, log_tau = self.penalty
            k, r = float(z[1]), float(z[2])
            value, by_k, by_r = _log_penalty(k, r, delta, omega, log_scale, log_tau)
            logs[-1] += value
            slope[-1, 1] += by_k
            slope[-1, 2] += by_r
        if self.counted.any():
            value, by_stage = _counted(float(z[3] - z[2]))
            logs += self.counted * value
            slope[:, 3] += self.counted * by_stage
            slope[:, 2] -= self.counted * by_stage
        if self.diluting.any():
            cost = np.logaddexp(0.0, logs[self.diluting])
            slope[self.diluting] *= (np.exp(logs[self.diluting] - cost) / cost)[:, None]
            logs[self.diluting] = np.log(cost)
        top = logs.max()
        sizes = np.exp(logs - top)
        total = sizes.sum()
        return float(top + np.log(total)), (sizes / total) @ slope


def _log_penalty(
    k: float, r: float, delta: float, omega: float, log_scale: float, log_tau: float
) -> tuple[float, float, float]:
    """Log of ρ(k)^δ · (1 + τ·D_S/D_T)^-ω at log k and log r, and its derivatives by the two."""
    from math import exp, expm1, log, log1p

    epochs = exp(k)
    if k > 0:
        scale = exp(log_scale)
        left = exp(-(epochs - 1) / scale)
        worn = 1 + scale * (1 - left)
        value, slope = log(worn), epochs * left / worn
    else:
        value, slope = k, 1.0
    a = exp(log_tau + k)
    w = a * expm1(-r)
    return (
        delta * value - omega * log1p(w),
        delta * slope - omega * w / (1 + w),
        omega * (a + w) / (1 + w),
    )


def _counted(stage: float) -> tuple[float, float]:
    """log(r_e / r) at log(r_f / r) where nothing is before the final stage, and its derivative."""
    from math import exp, expm1

    q = exp(-stage) / STAGE_SCALE
    return -stage * expm1(-q), -expm1(-q) - stage * q * exp(-q)


@dataclasses.dataclass(frozen=True)
class Face:
    """One regime: z = plane @ x, limits matrix @ x <= right and box low <= x <= high."""

    plane: np.ndarray
    matrix: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray


def starts(face: Face, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random allowed points (count, d), uniform in the box where that is not mostly forbidden."""
    d = len(face.low)
    points = face.low + rng.random((500 * count, d)) * (face.high - face.low)
    allowed = np.flatnonzero(np.all(points @ face.matrix.T <= face.right, axis=1))
    if len(allowed) >= count:
        return points[allowed[:count]]
    # Else drawn towards the least demanding corner until allowed.
    corner = face.low.copy()
    if d > 2:
        corner[2] = face.high[2]
    if d == 4:
        corner[2], corner[3] = np.log(0.5), 0.0
    points = points[:count]
    for point in points:
        for share in np.linspace(1, 0, 21):
            trial = corner + share * (point - corner)
            if np.all(face.matrix @ trial <= face.right + 1e-12):
                point[:] = trial
                break
    return points


def solve_by_scipy(
    method: str, terms: Terms, regimes: Sequence[tuple[Face, np.ndarray]]
) -> np.ndarray:
    """Log losses (regimes, S) at the ends of descents from S starts (S, d) of each regime.

    Infinite where one ended beyond a limit.
    """
    from scipy.optimize import Bounds, LinearConstraint, minimize

    losses = np.full((len(regimes), len(regimes[0][1])), np.inf)
    for regime, (face, points) in enumerate(regimes):
        plane = face.plane

        def with_gradient(x: np.ndarray, plane: np.ndarray = plane) -> tuple[float, np.ndarray]:
            loss, gradient = terms.with_gradient(plane @ x)
            return loss, gradient @ plane

        for s, point in enumerate(points):
            options: dict[str, Any]
            if method == "SLSQP":
                limits: Any = {
                    "type": "ineq",
                    "fun": lambda x, f=face: f.right - f.matrix @ x,
                    "jac": lambda x, f=face: -f.matrix,
                }
                options = {"ftol": 1e-9, "maxiter": 200}
            else:
                limits = LinearConstraint(face.matrix, -np.inf, face.right)
                options = {"gtol": 1e-7, "xtol": 1e-9, "barrier_tol": 1e-8, "maxiter": 500}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                end = minimize(
                    with_gradient,
                    point,
                    jac=True,
                    bounds=Bounds(face.low, face.high),
                    constraints=limits,
                    method=method,
                    options=options,
                )
            if np.all(face.matrix @ end.x <= face.right + SLACK) and np.isfinite(end.fun):
                losses[regime, s] = end.fun
    return losses
