"""A law as a list of operations, for the page to evaluate: one source of every formula."""

from __future__ import annotations

from collections.abc import Sequence
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

    slopes = jax.grad(log_loss, argnums=(1, 2, 3, 4, 5))

    def all_of_it(theta: Sequence[Array], x: Sequence[Array]) -> list[Array]:
        def along(j: int) -> tuple[Array, ...]:
            """The slopes' derivatives by x_j; one at a time, for a matrix would be an array."""
            bent = jax.jvp(lambda at: slopes(theta, *x[:j], at, *x[j + 1 :]), (x[j],), (1.0,))
            return bent[1]

        columns = [along(j) for j in range(5)]
        bends = [columns[j][i] for i in range(5) for j in range(i + 1)]
        return [log_loss(theta, *x), *slopes(theta, *x), *bends]

    try:
        return listing(all_of_it, [0.0] * len(law.names), [0.0] * 6)
    except NotElementwise:
        return None
