"""Laws whose terms are products of powers, evaluated in logarithms throughout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce

import jax
import jax.numpy as jnp
import numpy as np

from ..computing import KEPT, Compiled, Elementwise, pointwise
from ..recipe import Array, Recipe
from ._base import Law, LossFunction

# exponent coefficient -> (sign, feature name)
Powers = Mapping[str, tuple[int, str]]
FeatureFunction = Callable[[Mapping[str, Array], Recipe], Mapping[str, Array]]
CombineFunction = Callable[[Mapping[str, Array], Mapping[str, Array]], Array]

# The log-feature of what is not there (a repeat, a source token): its power is nothing, and it has
# no say in where the middle of the runs is.
ABSENT = -200.0
_SMALL = -30.0  # log x, below which log(1 + x) is x


def log_variables(recipe: Recipe) -> dict[str, Array]:
    """Logarithms of the recipe's variables; finite for every valid recipe, also at r = 1."""
    log_k, log_r = jnp.log(recipe.epochs), jnp.log(recipe.target_ratio)
    log_t = jnp.log(recipe.target_tokens)
    return {
        "n_params": jnp.log(recipe.n_params),
        "target_tokens": log_t,
        "epochs": log_k,
        "target_ratio": log_r,
        "final_ratio": jnp.log(recipe.final_ratio),
        "total_tokens": log_k + log_t - log_r,
    }


def log_sum(*logs: Array) -> Array:
    """Logarithm of the sum of what `logs` are the logarithms of."""
    top = reduce(jnp.maximum, map(jax.lax.stop_gradient, logs))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    return top + jnp.log(sum(jnp.exp(log - top) for log in logs))


def log_dilution(log_term: Array) -> Array:
    """log log(1 + x) from log x: x divides every probability by 1 + x, which costs log(1 + x) nats.

    Like x where that is small, and growing no faster than log x where it is large.
    """
    small = log_term < _SMALL
    at = jnp.where(small, _SMALL, log_term)
    top = jnp.maximum(at, 0.0)
    return jnp.where(small, log_term, jnp.log(top + jnp.log1p(jnp.exp(at - 2.0 * top))))


def _plain(theta: Mapping[str, Array], recipe: Recipe) -> Mapping[str, Array]:
    return log_variables(recipe)


@lru_cache(maxsize=KEPT)
def _features_of(law: LogSpaceLaw) -> Elementwise | Compiled:
    """The law's log-features, of NumPy arrays."""
    return pointwise(law.log_features, dict.fromkeys(law.names, 0.0), Recipe(*[0.0] * 6))


@dataclasses.dataclass(frozen=True, eq=False)
class LogSpaceLaw(Law):
    """A sum of terms x, each `amplitude · Π feature^(sign·exponent)`; of some, of log(1 + x).

    The terms are stated once and the loss, its logarithm and the centring follow from them. Every
    factor is the exponential of an affine map of log-features, so nothing over- or underflows on
    the way and derivatives are exact and cheap.

    Attributes:
        terms: amplitude coefficient -> its powers.
        features: `(theta by name, recipe) -> log-features by name`; theta by name holds logarithms
            of the coefficients marked `log`. Most features are plain log-variables; those with a
            shape coefficient inside (repetition, effective text) are built from them.
        shapes: the features that depend on a coefficient -> that coefficient, which must be no
            exponent or amplitude; all others are plain functions of the recipe. A fit uses it to
            write the Jacobian down instead of differentiating. None where features are of another
            kind: everything still works, more slowly.
        diluting: amplitudes of the terms x that count as log(1 + x) nats, see `log_dilution`.
        combine: `(theta by name, log-terms by amplitude) -> log loss`, for laws whose terms are not
            simply added; None for their sum.
    """

    function: LossFunction = dataclasses.field(init=False, repr=False)
    terms: Mapping[str, Powers] = dataclasses.field(default_factory=dict)
    features: FeatureFunction = _plain
    shapes: Mapping[str, str] | None = None
    diluting: tuple[str, ...] = ()
    combine: CombineFunction | None = None

    def __post_init__(self) -> None:
        if self.shapes is None and self.features is _plain and self.combine is None:
            object.__setattr__(self, "shapes", {})

        def function(coefficients: Mapping[str, Array], recipe: Recipe) -> Array:
            logs = {
                c.name: jnp.log(coefficients[c.name]) if c.log else coefficients[c.name]
                for c in self.coefficients
            }
            return jnp.exp(self.log_loss_of(logs, recipe))

        object.__setattr__(self, "function", function)
        super().__post_init__()

    def log_features(self, theta: Mapping[str, Array], recipe: Recipe) -> Mapping[str, Array]:
        """The log-features of a recipe, a corpus read in part being a smaller one."""
        return self.features(theta, recipe.as_read())

    def log_loss_of(self, theta: Mapping[str, Array], recipe: Recipe) -> Array:
        """Logarithm of the loss, from the entries of `theta` by name."""
        features = self.log_features(theta, recipe)
        log_terms = {}
        for amplitude, powers in self.terms.items():
            log_term = theta[amplitude]
            for exponent, (sign, feature) in powers.items():
                log_term = log_term + sign * theta[exponent] * features[feature]
            log_terms[amplitude] = (
                log_dilution(log_term) if amplitude in self.diluting else log_term
            )
        if self.combine is not None:
            return self.combine(theta, log_terms)
        return log_sum(*log_terms.values())

    def middle(self, recipe: Recipe, mask: np.ndarray) -> dict[str, np.ndarray]:
        """Mean of each log-feature, where it is not `ABSENT`, over the runs where `mask`: (...).

        `recipe` and `mask` hold NumPy arrays of shape (..., n). Features with a shape coefficient
        are taken at the middle of its range of starting values.
        """
        low, high = self.theta_start()
        named = dict(zip(self.names, (low + high) / 2, strict=True))
        features = _features_of(self)(named, recipe)
        middle = {}
        for name, value in features.items():
            value = np.broadcast_to(np.asarray(value), mask.shape)
            there = mask & (value > ABSENT)
            count = np.maximum(there.sum(axis=-1), 1)
            middle[name] = np.sum(value, axis=-1, where=there) / count
        return middle

    def centre(self, recipe: Recipe, mask: np.ndarray | None = None) -> np.ndarray:
        """Quote each amplitude at the geometric middle of the runs instead of at one.

        `recipe` holds the runs' NumPy arrays of shape (..., n), `mask` which of them count. Any
        fixed centre gives the same law. Returns (..., p, p).
        """
        mask = np.ones(np.shape(recipe.n_params), dtype=bool) if mask is None else mask
        middle = self.middle(recipe, mask)
        index = {name: i for i, name in enumerate(self.names)}
        p = len(self.names)
        matrix = np.broadcast_to(np.eye(p), (*mask.shape[:-1], p, p)).copy()
        for amplitude, powers in self.terms.items():
            for exponent, (sign, feature) in powers.items():
                # log amplitude = centred log amplitude − Σ sign·exponent·mean feature
                matrix[..., index[amplitude], index[exponent]] -= sign * middle[feature]
        return matrix
