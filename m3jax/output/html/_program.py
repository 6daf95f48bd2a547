"""A law as a list of operations, for the page to evaluate: one source of every formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ...computing import NotElementwise, listing
from ...laws import Law
from ...recipe import Array, Recipe


def law_program(law: Law) -> dict[str, Any] | None:
    """Log loss with its derivatives, see `computing.listing`; None where a law is no such list.

    Arguments are the coefficients, in the solver's coordinates, and six numbers x: logarithms of
    n_params, target_tokens, epochs, target_ratio and final_ratio, and r_1 / r. What comes out are
    the log loss, its 5 derivatives by the logarithms, and the 15 second ones of the lower triangle
    of their matrix, row by row.
    """

    def log_loss(theta: Sequence[Array], *x: Array) -> Array:
        *logs, share = x
        n, t, k, r, f = map(jnp.exp, logs)
        recipe = Recipe(n, t, k, r, f, share * r)
        return law.log_loss_of(dict(zip(law.names, theta, strict=True)), recipe)

    slopes = [jax.grad(log_loss, argnums=i) for i in range(1, 6)]
    # By hand, for a matrix from `jax.hessian` is an array.
    bends = [jax.grad(slopes[i], argnums=j) for i in range(5) for j in range(1, i + 2)]
    try:
        return listing(partial(_all, (log_loss, *slopes, *bends)), [0.0] * len(law.names), [0.0] * 6)
    except NotElementwise:
        return None


def _all(
    functions: Sequence[Callable[..., Array]], theta: Sequence[Array], x: Sequence[Array]
) -> list[Array]:
    return [function(theta, *x) for function in functions]
