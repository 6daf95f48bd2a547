"""A law at any number of points: made by NumPy, or by XLA for laws that are not elementwise.

A point is one coefficient vector and one recipe. Laws that are no chain of elementwise operations
are compiled, for two sizes: tables, draws and hold-outs come in all shapes, and compiled for each a
law would take longer to compile than to use.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from ..._batching import take_rows
from ...computing import KEPT, in_double_precision, jit_by_first
from ...elementwise import Elementwise, NotElementwise
from ...laws import Law
from ...recipe import Array, Recipe

POINTS_AT_ONCE = 1 << 15  # by NumPy: what they need on the way stays in the cache
_FEW, _MANY = 256, 2048  # points in a compiled call
_UNDER_WAY = 16  # calls


def log_losses(law: Law, thetas: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Log losses (B, n) of a recipe of leaves (n,) under each of thetas (B, p), in float64."""
    n, program = len(recipe.n_params), _value(law)
    value = np.empty((len(thetas), n))
    if program is not None:
        prepared = program.prepared(recipe)
        step = max(1, POINTS_AT_ONCE // max(n, 1))
        for first in range(0, len(thetas), step):
            some = slice(first, first + step)
            value[some] = program.finished([_columns(thetas[some])], prepared)
        return value

    def points(rows: np.ndarray) -> tuple[np.ndarray, Recipe]:
        return thetas[rows // n], take_rows(recipe, rows % n)

    _fill([value.reshape(-1)], lambda *of: [_log_loss(law, *of)], points)
    return value


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LawAtRuns:
    """A law at the recipes (B, n) of B sets of runs, for many coefficients there.

    Attributes:
        law: the law.
        runs: what NumPy needs to know of the recipes, arrays (B, n); or else the recipes.
    """

    law: Law = dataclasses.field(metadata={"static": True})
    runs: Any

    @classmethod
    def of(cls, law: Law, recipe: Recipe) -> LawAtRuns:
        """A law at recipes of leaves (B, n)."""
        program = _value_and_slopes(law)
        if program is None:
            return cls(law, recipe)
        shape = recipe.n_params.shape
        return cls(law, [np.broadcast_to(leaf, shape) for leaf in program.prepared(recipe)])

    def take(self, rows: np.ndarray) -> LawAtRuns:
        """Some of the sets."""
        return dataclasses.replace(self, runs=take_rows(self.runs, rows))

    def log_losses_and_slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log losses (B, n) at theta (B, p), and their derivatives in theta, (B, p, n)."""
        program = _value_and_slopes(self.law)
        n = jax.tree.leaves(self.runs)[0].shape[1]
        value, slopes = (
            np.empty((len(theta), n), theta.dtype),
            np.empty((*theta.shape, n), theta.dtype),
        )
        if program is not None:
            value[...], found = program.finished([_columns(theta)], self.runs)
            for j, slope in enumerate(found):
                slopes[:, j] = slope
            return value, slopes
        flat = jax.tree.map(np.ravel, self.runs)

        def points(rows: np.ndarray) -> tuple[np.ndarray, Recipe]:
            return theta[rows // n], take_rows(flat, rows)

        by_point = np.empty((value.size, theta.shape[1]))
        _fill([value.reshape(-1), by_point], lambda *of: _log_loss_and_slope(self.law, *of), points)
        slopes[...] = np.swapaxes(by_point.reshape(len(theta), n, -1), 1, 2)
        return value, slopes


def log_losses_and_slopes(
    law: Law, theta: np.ndarray, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
    """Log losses (B, n) at theta (B, p) and recipes (B, n), and their derivatives (B, p, n)."""
    return LawAtRuns.of(law, recipe).log_losses_and_slopes(theta)


def _columns(theta: np.ndarray) -> list[np.ndarray]:
    return [theta[:, j, None] for j in range(theta.shape[1])]


@lru_cache(maxsize=KEPT)
def _value(law: Law) -> Elementwise | None:
    """The log loss of a list of coefficients and a recipe; None where NumPy cannot run it."""
    return _traced(law, _of_list(law))


@lru_cache(maxsize=KEPT)
def _value_and_slopes(law: Law) -> Elementwise | None:
    return _traced(law, jax.value_and_grad(_of_list(law)))


def _of_list(law: Law) -> Callable[[list[Array], Recipe], Array]:
    return lambda theta, recipe: law.log_loss_of(dict(zip(law.names, theta, strict=True)), recipe)


def _traced(law: Law, function: Callable[..., Any]) -> Elementwise | None:
    try:
        return Elementwise(function, [0.0] * len(law.names), Recipe(*[0.0] * 6))
    except NotElementwise:
        return None


def _fill(
    out: Sequence[np.ndarray],
    run: Callable[..., Sequence[Array]],
    points: Callable[[np.ndarray], tuple[np.ndarray, Recipe]],
) -> None:
    """Write what `run` gives for all points; the last of a block is repeated to fill it."""
    first, total = 0, len(out[0])
    under_way: deque[tuple[int, int, Sequence[Array]]] = deque()

    def write_down() -> None:
        begin, end, found = under_way.popleft()
        for leaf, new in zip(out, found, strict=True):
            leaf[begin:end] = np.asarray(new)[: end - begin]

    while first < total:
        size = _MANY if total - first > _MANY // 2 else _FEW
        last = min(first + size, total)
        rows = np.minimum(np.arange(first, first + size), last - 1)
        with in_double_precision():
            found = run(*jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), points(rows)))
        # JAX computes several at the same time, as long as nobody waits for them.
        under_way.append((first, last, found))
        if len(under_way) > _UNDER_WAY:
            write_down()
        first = last
    while under_way:
        write_down()


@jit_by_first
def _log_loss(law: Law, theta: Array, recipe: Recipe) -> Array:
    return jax.vmap(law.log_loss_theta)(theta, recipe)


@jit_by_first
def _log_loss_and_slope(law: Law, theta: Array, recipe: Recipe) -> tuple[Array, Array]:
    return jax.vmap(jax.value_and_grad(law.log_loss_theta))(theta, recipe)
