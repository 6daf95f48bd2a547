"""What a law may get wrong beyond the runs: there its powers bend.

In the range of the runs a law is held to them; beyond, nothing holds it. So each draw b of the
coefficients carries exponents s_bj of its own, by which its loss bends where a recipe leaves the
range of the runs in variable j:

    log L_b(x) = log L(theta_b; x) + Σ_j s_bj · d_j(x),
    d_j(x) = max(log x_j − log high_j, log low_j − log x_j, 0).

A discrepancy between law and truth (Kennedy and O'Hagan 2001) that is nothing among the runs and
whose standard deviation grows in proportion to how far beyond them a recipe lies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..computing import array_namespace
from ..recipe import Array, Recipe
from .problem import Scope

# Variables beyond whose range the loss may bend; concentration is r_f / r, 1 with one stage.
BENDING = ("n_params", "target_tokens", "epochs", "target_ratio", "concentration")


def edges_of(recipe: Recipe, mask: np.ndarray) -> np.ndarray:
    """Logarithms of the lowest and highest values in the runs, (L, 2, 5), by `BENDING`.

    `recipe` has leaves (L, n), of which `mask` (L, n) count.
    """
    logs, there = _logs(recipe), mask[..., None]
    low = np.min(logs, axis=1, where=there, initial=np.inf)
    high = np.max(logs, axis=1, where=there, initial=-np.inf)
    return np.stack([low, high], axis=1)


def edges_of_scope(scope: Scope) -> np.ndarray:
    """The same, (2, 5), of what a scope covers."""
    spans = dict(scope.ranges)
    most = spans["final_ratio"][1] / spans["target_ratio"][0]
    spans["concentration"] = (1.0, most if "final_ratio" in scope.varies else 1.0)
    return np.log(np.array([spans[name] for name in BENDING])).T


def beyond(recipe: Recipe, edges: Array) -> Array:
    """How far recipes of shape (...) lie beyond edges (..., 2, 5), in logarithms: (..., 5)."""
    logs = _logs(recipe)
    xp = array_namespace(logs, edges)
    outside = xp.maximum(logs - edges[..., 1, :], edges[..., 0, :] - logs)
    return xp.maximum(outside, 0.0)


def bend(recipe: Recipe, low: Sequence[Array], high: Sequence[Array], by: Sequence[Array]) -> Array:
    """What exponents `by` add to the log loss beyond edges low and high, 5 arrays each.

    The same as bends · `beyond`, elementwise.
    """
    logs = _columns(recipe)
    xp = array_namespace(*logs, *by)
    added = 0.0
    for value, lowest, highest, exponent in zip(logs, low, high, by, strict=True):
        outside = xp.maximum(xp.maximum(value - highest, lowest - value), 0.0)
        added = added + exponent * outside
    return added


def _logs(recipe: Recipe) -> Array:
    """Logarithms of the variables in `BENDING`, (..., 5)."""
    columns = _columns(recipe)
    xp = array_namespace(*columns)
    return xp.stack(xp.broadcast_arrays(*columns), axis=-1)


def _columns(recipe: Recipe) -> list[Array]:
    """Logarithms of the variables in `BENDING`; text that is not read is none."""
    read = recipe.as_read()
    xp = array_namespace(read.n_params, read.target_ratio)
    n, tokens, k, r, rf = (
        xp.log(leaf)
        for leaf in (
            read.n_params, read.target_tokens, read.epochs, read.target_ratio, read.final_ratio
        )
    )  # fmt: skip
    return [n, tokens, k, r, rf - r]


@dataclasses.dataclass(frozen=True)
class Spread:
    """What is drawn of the losses of L languages.

    Attributes:
        theta: draws of the coefficients, (L, B, p).
        bends: of the exponents beyond the runs, (L, B, 5); zeros where there are none.
        edges: logarithms of the range of the runs, (L, 2, 5).
        calibrated: whether intervals of losses lie around the best fit, see `loss_interval`.
    """

    theta: np.ndarray
    bends: np.ndarray
    edges: np.ndarray
    calibrated: bool

    def take(self, languages: np.ndarray, count: int | None = None) -> Spread:
        """Some of the languages, and of the draws the first `count`."""
        return dataclasses.replace(
            self,
            theta=self.theta[languages, :count],
            bends=self.bends[languages, :count],
            edges=self.edges[languages],
        )

    def bent(self, language: int, recipe: Recipe) -> np.ndarray:
        """What the bends of one language add to log losses of recipes (...): (B, ...)."""
        distance = beyond(recipe, self.edges[language])
        return np.moveaxis(distance @ self.bends[language].T, -1, 0)

    def bent_each(self, language: int, recipe: Recipe) -> np.ndarray:
        """The same of recipes (..., B), each under its own draw: (..., B)."""
        distance = beyond(recipe, self.edges[language])
        return np.sum(distance * self.bends[language], axis=-1)
