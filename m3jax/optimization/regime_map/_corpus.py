"""D*(C): the corpus that a compute budget would read once, if there were that much of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...computing import KEPT, Compiled, Elementwise, pointwise
from ...laws import Law
from ...recipe import Array, Recipe

_POINTS = 256  # of the grid that brackets the minimum
_STEPS = 50  # halvings of the bracket


def optimal_corpus(law: Law, theta: np.ndarray, compute: np.ndarray) -> np.ndarray:
    """Monolingual compute-optimal corpus size for `theta` (M, p) and FLOP (M,): tokens, (M,).

    Minimises the loss at r = 1 and one epoch over D, with N = C / (6·D). Infinite where the law has
    no minimum between one token and one parameter.
    """
    # A grid over log D brackets the minimum, bisection on the sign of the slope finds it.
    run, columns = _log_loss_and_slope(law), list(theta.T)
    points = np.linspace(0.0, np.log(compute / 6.0), _POINTS)  # (_POINTS, M)
    log_loss, _ = run(points, (columns, compute))
    best = np.argmin(log_loss, axis=0)
    inside, rows = (best > 0) & (best < _POINTS - 1), np.arange(len(best))
    low, high = (
        points[np.maximum(best - 1, 0), rows],
        points[np.minimum(best + 1, _POINTS - 1), rows],
    )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        falls = run(middle, (columns, compute))[1] < 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    return np.where(inside, np.exp((low + high) / 2), np.inf)


@lru_cache(maxsize=KEPT)
def _log_loss_and_slope(law: Law) -> Elementwise | Compiled:
    """Log loss and its slope in log D, of (log D, (theta, compute)), at r = 1 and one epoch."""

    def log_loss(log_tokens: Array, given: Any) -> Array:
        theta, compute = given
        d, unit = jnp.exp(log_tokens), jnp.ones_like(log_tokens)
        recipe = Recipe(compute / (6.0 * d), d, unit, unit, unit, unit)
        return law.log_loss_of(dict(zip(law.names, theta, strict=True)), recipe)

    return pointwise(jax.value_and_grad(log_loss), 0.0, ([0.0] * len(law.names), 0.0))
