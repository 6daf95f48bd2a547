"""A law at any number of points: one coefficient vector and one recipe each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache

import jax
import numpy as np

from ..._batching import take_rows
from ...computing import KEPT, Compiled, Elementwise, pointwise
from ...laws import Law
from ...recipe import Array, Recipe

POINTS_AT_ONCE = 1 << 15  # what they need on the way stays near the cache


def log_losses(law: Law, thetas: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Log losses (B, n) of a recipe of leaves (n,) under each of thetas (B, p), in float64."""
    n, run = len(recipe.n_params), _value(law)
    value = np.empty((len(thetas), n))
    prepared = run.prepared(recipe)
    step = max(1, POINTS_AT_ONCE // max(n, 1))
    for first in range(0, len(thetas), step):
        some = slice(first, first + step)
        value[some] = run.finished([_columns(thetas[some])], prepared)
    return value


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LawAtRuns:
    """A law at the recipes (B, n) of B sets of runs, for many coefficients there.

    Attributes:
        law: the law.
        runs: what it needs to know of the recipes, arrays (B, n).
    """

    law: Law = dataclasses.field(metadata={"static": True})
    runs: list[np.ndarray]

    @classmethod
    def of(cls, law: Law, recipe: Recipe) -> LawAtRuns:
        """A law at recipes of leaves (B, n)."""
        shape = recipe.n_params.shape
        prepared = _value_and_slopes(law).prepared(recipe)
        return cls(law, [np.broadcast_to(leaf, shape) for leaf in prepared])

    def take(self, rows: np.ndarray) -> LawAtRuns:
        """Some of the sets."""
        return dataclasses.replace(self, runs=take_rows(self.runs, rows))

    def log_losses_and_slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log losses (B, n) at theta (B, p), and their derivatives in theta, (B, p, n)."""
        n = self.runs[0].shape[1]
        value = np.empty((len(theta), n), theta.dtype)
        slopes = np.empty((*theta.shape, n), theta.dtype)
        value[...], found = _value_and_slopes(self.law).finished([_columns(theta)], self.runs)
        for j, slope in enumerate(found):
            slopes[:, j] = slope
        return value, slopes


def log_losses_and_slopes(
    law: Law, theta: np.ndarray, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
    """Log losses (B, n) at theta (B, p) and recipes (B, n), and their derivatives (B, p, n)."""
    return LawAtRuns.of(law, recipe).log_losses_and_slopes(theta)


def _columns(theta: np.ndarray) -> list[np.ndarray]:
    return [theta[:, j, None] for j in range(theta.shape[1])]


@lru_cache(maxsize=KEPT)
def _value(law: Law) -> Elementwise | Compiled:
    """The log loss of a list of coefficients and a recipe."""
    return pointwise(_of_list(law), *_like(law))


@lru_cache(maxsize=KEPT)
def _value_and_slopes(law: Law) -> Elementwise | Compiled:
    return pointwise(jax.value_and_grad(_of_list(law)), *_like(law))


def _of_list(law: Law) -> Callable[[list[Array], Recipe], Array]:
    return lambda theta, recipe: law.log_loss_of(dict(zip(law.names, theta, strict=True)), recipe)


def _like(law: Law) -> tuple[list[float], Recipe]:
    return [0.0] * len(law.names), Recipe(*[0.0] * 6)
