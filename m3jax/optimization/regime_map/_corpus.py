"""D*(C): the corpus that a compute budget would read once, if there were that much of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ...computing import in_double_precision, jit_by_first
from ...laws import Law
from ...recipe import Array, Recipe

_POINTS = 256  # of the grid that brackets the minimum
_STEPS = 50  # halvings of the bracket


def optimal_corpus(law: Law, theta: np.ndarray, compute: np.ndarray) -> np.ndarray:
    """Monolingual compute-optimal corpus size for `theta` (M, p) and FLOP (M,): tokens, (M,).

    Minimises the loss at r = 1 and one epoch over D, with N = C / (6·D). Infinite where the law has
    no minimum between one token and one parameter.
    """
    with in_double_precision():
        return np.asarray(_optimal(law, jnp.asarray(theta), jnp.asarray(compute)))


@jit_by_first
def _optimal(law: Law, theta: Array, compute: Array) -> Array:
    """A grid over log D brackets the minimum, bisection on the sign of the slope finds it."""

    def optimum(theta: Array, compute: Array) -> Array:
        most = jnp.log(compute / 6.0)

        def log_loss(log_tokens: Array) -> Array:
            n, d, unit = jnp.exp(most - log_tokens), jnp.exp(log_tokens), jnp.ones(())
            return law.log_loss_theta(theta, Recipe(n, d, unit, unit, unit, unit))

        points = jnp.linspace(0.0, most, _POINTS)
        best = jnp.argmin(jax.vmap(log_loss)(points))
        inside = (best > 0) & (best < _POINTS - 1)
        ends = points[jnp.maximum(best - 1, 0)], points[jnp.minimum(best + 1, _POINTS - 1)]

        def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            falls = jax.grad(log_loss)(middle) < 0
            return jnp.where(falls, middle, low), jnp.where(falls, high, middle)

        low, high = jax.lax.fori_loop(0, _STEPS, halve, ends)
        return jnp.where(inside, jnp.exp((low + high) / 2), jnp.inf)

    return jax.vmap(optimum)(theta, compute)
