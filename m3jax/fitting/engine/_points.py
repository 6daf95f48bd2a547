"""A law at any number of points, from programs of two sizes.

A point is one coefficient vector and one recipe. Tables, draws and hold-outs come in all shapes;
compiled for each, a law would take longer to compile than to use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import jax
import numpy as np

from ..._batching import take_rows
from ...computing import in_double_precision, jit_by_first
from ...laws import Law
from ...recipe import Array, Recipe

_FEW, _MANY = 256, 2048  # points in a call
_UNDER_WAY = 16  # calls


def log_losses(law: Law, thetas: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Log losses (B, n) of a recipe of leaves (n,) under each of thetas (B, p), in float64."""
    n = len(recipe.n_params)

    def points(rows: np.ndarray) -> tuple[np.ndarray, Recipe]:
        return thetas[rows // n], take_rows(recipe, rows % n)

    value = np.empty(len(thetas) * n)
    _fill([value], lambda *of: [_log_loss(law, *of)], points)
    return value.reshape(len(thetas), n)


def log_losses_and_slopes(
    law: Law, theta: np.ndarray, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray]:
    """Log losses (B, n) at theta (B, p) and recipes (B, n), and their derivatives (B, n, p)."""
    count, n = recipe.n_params.shape
    flat = jax.tree.map(np.ravel, recipe)

    def points(rows: np.ndarray) -> tuple[np.ndarray, Recipe]:
        return theta[rows // n], take_rows(flat, rows)

    value, slope = np.empty(count * n), np.empty((count * n, theta.shape[1]))
    _fill([value, slope], lambda *of: _log_loss_and_slope(law, *of), points)
    return value.reshape(count, n), slope.reshape(count, n, theta.shape[1])


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
