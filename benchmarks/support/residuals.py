"""A log-space law, its exact Jacobian and the fit's objective in NumPy: what the peers minimise.

Nothing here imports JAX, so that the peers' worker processes stay light. One evaluation with its
Jacobian takes about 30 µs for `m3` and 100 runs, most of it NumPy's cost per call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.support.recipe_terms import STAGE_SCALE

Variables = Mapping[str, np.ndarray]
# Shape coefficient's logarithm and variables -> log feature and its derivative by that logarithm.
Feature = Callable[[float, Variables], tuple[np.ndarray, np.ndarray]]

PLAIN = (
    "n_params", "target_tokens", "epochs", "total_tokens", "target_ratio", "final_ratio",
    "counted_ratio",
)  # fmt: skip


def _repetition(log_scale: float, log: Variables) -> tuple[np.ndarray, np.ndarray]:
    scale, beyond = np.exp(log_scale), log["beyond_one_epoch"]
    worn = -scale * np.expm1(-beyond / scale)  # rho − 1
    slope = (worn - beyond * np.exp(-beyond / scale)) / (1 + worn)
    return np.where(beyond > 0, np.log1p(worn), log["epochs"]), slope


def _text(log_discount: float, log: Variables) -> tuple[np.ndarray, np.ndarray]:
    source = np.exp(log_discount) * log["source_share"]
    return log["target_tokens"] + np.log1p(source), source / (1 + source)


# Features of `m3` with a shape coefficient inside: that coefficient, and the feature.
_SHAPED: dict[str, tuple[str, Feature]] = {
    "repetition": ("R", _repetition),
    "text": ("tau", _text),
}


def huber(residual: np.ndarray, delta: float) -> np.ndarray:
    """Huber loss, elementwise: e²/2 within `delta`, delta·(|e| − delta/2) beyond."""
    size = np.abs(residual)
    clipped = np.minimum(size, delta)
    return clipped * (size - 0.5 * clipped)


def log_variables(recipe: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logarithms of a recipe's variables (n,), and what the shaped features are made of."""
    epochs, ratio = np.log(recipe["epochs"]), np.log(recipe["target_ratio"])
    target, final = np.log(recipe["target_tokens"]), np.log(recipe["final_ratio"])
    two = recipe["final_ratio"] > recipe["target_ratio"]
    span = np.where(two, recipe["final_ratio"] - recipe["first_ratio"], 1.0)
    stage = np.where(two, (recipe["target_ratio"] - recipe["first_ratio"]) / span, 1.0)
    return {
        "n_params": np.log(recipe["n_params"]),
        "target_tokens": target,
        "epochs": epochs,
        "total_tokens": epochs + target - ratio,
        "target_ratio": ratio,
        "final_ratio": final,
        "counted_ratio": ratio - (final - ratio) * np.expm1(-stage / STAGE_SCALE),
        "beyond_one_epoch": np.maximum(np.expm1(epochs), 0.0),
        "source_share": np.exp(epochs) * np.expm1(-ratio),  # source tokens per target token
    }


@dataclasses.dataclass
class Residuals:
    """One language's predicted minus measured log losses as functions of the solver's x (p,).

    Attributes:
        linear: (terms, n, p); `linear @ x` are the log terms but for the shaped features.
        shaped: per shaped feature of a term: term, index of the exponent, sign, index of the shape
            coefficient, name of the feature.
        diluting: which terms x count as log(1 + x), (terms,) bool.
        log: variables as `log_variables` gives them.
        log_loss: measured, (n,).
        weight: (n,), >= 0.
        delta: of the Huber loss, in log loss.
        lower, upper: bounds of x, (p,).
        start_low, start_high: starts are drawn from here, (p,).
    """

    linear: np.ndarray
    shaped: tuple[tuple[int, int, int, int, str], ...]
    diluting: np.ndarray
    log: dict[str, np.ndarray]
    log_loss: np.ndarray
    weight: np.ndarray
    delta: float
    lower: np.ndarray
    upper: np.ndarray
    start_low: np.ndarray
    start_high: np.ndarray

    def __post_init__(self) -> None:
        self._flat = self.linear.reshape(-1, self.linear.shape[-1])
        # At the point x that was evaluated last: residuals, each term's share of the loss (times
        # what it dilutes less) and the shaped features.
        self._at = b""
        self._last = self._shares = np.empty(0)
        self._features: list[tuple[np.ndarray, np.ndarray]] = []

    @classmethod
    def of(
        cls,
        names: tuple[str, ...],
        terms: Mapping[str, Mapping[str, tuple[int, str]]],
        diluting: Sequence[str],
        recipe: Mapping[str, np.ndarray],
        log_loss: np.ndarray,
        centre: np.ndarray,
        **others: Any,
    ) -> Residuals:
        """Of a law's coefficients, its terms and which dilute; `others` are fields from `delta` on.

        theta = `centre` @ x, which moves nothing but amplitudes.
        """
        index, log = {name: i for i, name in enumerate(names)}, log_variables(recipe)
        linear = np.zeros((len(terms), len(log_loss), len(names)))
        shaped = []
        for t, (amplitude, powers) in enumerate(terms.items()):
            linear[t, :, index[amplitude]] = 1.0
            for exponent, (sign, feature) in powers.items():
                if feature in PLAIN:
                    linear[t, :, index[exponent]] = sign * log[feature]
                else:
                    shaped.append((t, index[exponent], sign, index[_SHAPED[feature][0]], feature))
        ones = np.ones(len(log_loss))
        dilutes = np.array([name in diluting for name in terms])
        return cls(linear @ centre, tuple(shaped), dilutes, log, log_loss, ones, **others)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Residuals (n,) at x."""
        # Solvers come back to the point they were at last: for its Jacobian, or its value.
        at = x.tobytes()
        if at == self._at:
            return self._last.copy()
        log_terms = (self._flat @ x).reshape(self.linear.shape[:2])
        features = []
        for t, exponent, sign, shape, name in self.shaped:
            feature = _SHAPED[name][1](x[shape], self.log)
            log_terms[t] += sign * x[exponent] * feature[0]
            features.append(feature)
        by_term = np.ones((len(log_terms), 1))
        if self.diluting.any():
            own = log_terms[self.diluting]
            cost = np.logaddexp(0.0, own)
            log_terms[self.diluting] = np.log(cost)
            by_term = np.ones_like(log_terms)
            by_term[self.diluting] = np.exp(own - cost) / cost
        top = log_terms.max(axis=0)
        parts = np.exp(log_terms - top)
        total = parts.sum(axis=0)
        self._at, self._shares, self._features = at, parts / total * by_term, features
        self._last = top + np.log(total) - self.log_loss
        return self._last.copy()  # `least_squares` writes into what it is given

    def transposed_jacobian(self, x: np.ndarray) -> np.ndarray:
        """Derivatives of the residuals, (p, n)."""
        self(x)
        jacobian = np.einsum("tn,tnp->pn", self._shares, self.linear)
        for (t, exponent, sign, shape, _), (value, slope) in zip(
            self.shaped, self._features, strict=True
        ):
            share = sign * self._shares[t]
            jacobian[exponent] += share * value
            jacobian[shape] += share * slope * x[exponent]
        return jacobian

    def objective(self, x: np.ndarray) -> float:
        """Weighted sum of Huber losses at x, moved into the bounds; infinite where not finite."""
        value = float(self.weight @ huber(self(np.clip(x, self.lower, self.upper)), self.delta))
        return value if np.isfinite(value) else np.inf
