"""Recipe problems for peers, one at a time: law and gradient in NumPy, limits as matrices."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from benchmarks.support.synthetic import run_table, true_theta
from m3jax.fitting import Fits, Scope
from m3jax.laws import LogSpaceLaw, get_law
from m3jax.options import FitOptions
from m3jax.recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE

BOUNDS: dict[str, Any] = {
    "n_params": (1e7, 1e12),
    "epochs": (1.0, 64.0),
    "target_ratio": (0.05, 1.0),
    "final_ratio": (0.05, 1.0),
    "stage_fraction": (0.1, 0.6),
    "first_share": 0.0,
}
COMPUTE, TOKENS = (1e18, 1e21), (1e7, 1e9)
LAWS = ("m3", "m3_posynomial")


def fits_of(languages: int, seed: int, law: str) -> Fits:
    """Known coefficients as if they had been fitted; `m3_posynomial` keeps what it shares."""
    theta = true_theta(languages, seed)
    if law == "m3_posynomial":
        named = dict(zip(get_law("m3").names, theta.T, strict=True))
        zeta = np.random.default_rng([seed, 5]).uniform(-0.3, 0.5, languages)
        # Without the source's text the penalty would be out of proportion: as with it at r = 0.25.
        named["P"] = named["P"] - named["omega"] * np.log1p(3 * np.exp(named["tau"]))
        theta = np.stack([{**named, "zeta": zeta}[name] for name in get_law(law).names], axis=1)
    scope = Scope.of(run_table(true_theta(1, seed), 100, 0.005, seed).recipe)
    ones = np.ones(languages)
    settings = dataclasses.asdict(FitOptions(draws=0))
    return Fits(
        law=get_law(law),
        languages=tuple(f"language{i:04d}" for i in range(languages)),
        theta=theta,
        draws=np.zeros((languages, 0, theta.shape[1])),
        frozen=np.zeros(theta.shape, dtype=bool),
        objective=0 * ones,
        r2=ones,
        n_runs=100 * ones.astype(int),
        converged=ones > 0,
        grading=lambda: ("good",) * languages,
        agreement=ones,
        huber_delta=1e-3 * ones,
        prior_mean=theta,
        prior_precision=np.zeros((*theta.shape, theta.shape[1])),
        prior_weight=0 * ones,
        scopes=(scope,) * languages,
        messages=((),) * languages,
        failed={},
        settings={**settings, "prior": "weak", "source": "<table>", "notes": [], "reading": {}},
    )


@dataclasses.dataclass(frozen=True)
class Terms:
    """Log loss as a function of z = (log N, log k, log r, log r_f), in NumPy, with its gradient.

    Attributes:
        constant: (J,); slope: (J, 4); of the terms' affine parts.
        penalty: (δ, ω, log R, log τ) of the last term's ρ and D_T + τ·D_S; None for a posynomial.
    """

    constant: np.ndarray
    slope: np.ndarray
    penalty: tuple[float, float, float, float] | None

    @classmethod
    def of(cls, law: LogSpaceLaw, theta: np.ndarray, tokens: float) -> Terms:
        features = {
            "n_params": (1, 0, 0, 0, 0), "epochs": (0, 1, 0, 0, 0), "target_ratio": (0, 0, 1, 0, 0),
            "final_ratio": (0, 0, 0, 1, 0), "target_tokens": (0, 0, 0, 0, 1),
            "total_tokens": (0, 1, -1, 0, 1), "repetition": (0,) * 5, "text": (0, 0, 0, 0, 1),
        }  # fmt: skip
        named = dict(zip(law.names, theta.tolist(), strict=True))
        rows = np.zeros((len(law.terms), 5))
        for j, powers in enumerate(law.terms.values()):
            for exponent, (sign, feature) in powers.items():
                rows[j] += sign * named[exponent] * np.array(features[feature])
        constant = np.array([named[a] for a in law.terms]) + rows[:, 4] * np.log(tokens)
        penalty = None
        if "R" in named:
            penalty = tuple(named[name] for name in ("delta", "omega", "R", "tau"))
        return cls(constant, rows[:, :4], penalty)

    def with_gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Log loss and gradient (4,)."""
        logs = self.constant + self.slope @ z
        slope = self.slope
        if self.penalty is not None:
            delta, omega, log_scale, log_tau = self.penalty
            k, r = float(z[1]), float(z[2])
            value, by_k, by_r = _log_penalty(k, r, delta, omega, log_scale, log_tau)
            logs[-1] += value
            slope = slope.copy()
            slope[-1, 1] += by_k
            slope[-1, 2] += by_r
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


@dataclasses.dataclass(frozen=True)
class Face:
    """One regime: z = plane @ x, limits matrix @ x <= right and box low <= x <= high."""

    plane: np.ndarray
    matrix: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray


def faces(compute: float, tokens: float) -> dict[int, Face]:
    """The three regimes of a problem under `BOUNDS`."""
    names = ("n_params", "epochs", "target_ratio", "final_ratio")
    low, high = (np.log([BOUNDS[name][side] for name in names]) for side in (0, 1))
    budget = np.log(compute / (6 * tokens))
    spend = np.array([[1.0, 1.0, -1.0, 0.0]])
    shortest, longest = BOUNDS["stage_fraction"]
    stage = np.array([[0.0, 0.0, -1.0, 1.0], [0.0, 0.0, 1.0, -1.0]])
    planes = {
        MONOLINGUAL: np.eye(4)[:, :2],
        SINGLE_STAGE: np.eye(4)[:, :3] + np.eye(4)[:, [3]] @ np.eye(3)[[2]],
        TWO_STAGE: np.eye(4),
    }
    regimes = {}
    for regime, plane in planes.items():
        d = plane.shape[1]
        matrix, right = spend, np.array([budget])
        if regime == TWO_STAGE:
            matrix = np.concatenate([spend, stage])
            right = np.array([budget, np.log(1 / shortest), -np.log(1 / longest)])
        regimes[regime] = Face(plane, matrix @ plane, right, low[:d], high[:d])
    return regimes


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
