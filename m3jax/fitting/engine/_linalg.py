"""Linear algebra of many small systems, with the batch in the fast axis where it matters.

Written out in array operations rather than calls of LAPACK: XLA's CPU runtime deadlocks when two
executions that call LAPACK run at the same time (jax 0.10), and on accelerators the batched library
routines are slow for blocks this small.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ...recipe import Array


def matvec(matrix: Array, vector: Array) -> Array:
    """matrix @ vector for matrices (..., m, n) and vectors (..., n), of NumPy or JAX."""
    return (matrix @ vector[..., None])[..., 0]


@jax.custom_batching.custom_vmap
def solve_spd(matrix: Array, right: Array) -> Array:
    """x with matrix @ x = right, for matrices (..., p, p) and vectors (..., p).

    By Cholesky's factorisation, matrix = L Lᵀ, L y = right, Lᵀ x = y: NaN where the matrix is not
    positive definite.
    """
    p = right.shape[-1]
    batch = right.shape[:-1]
    # (p + 1, p, B): the right-hand side is one more row, so the forward sweep comes for free.
    rows = jnp.concatenate([matrix, right[..., None, :]], axis=-2)
    rows = jnp.moveaxis(rows.reshape(-1, p + 1, p), 0, -1)
    columns: list[Array] = []
    inverses: list[Array] = []
    for j in range(p):
        column = rows[j:, j]
        for k, earlier in enumerate(columns):
            column = column - earlier[j - k :] * earlier[j - k]
        inverse = jax.lax.rsqrt(column[0])
        columns.append(column * inverse)
        inverses.append(inverse)
    x: list[Array] = []  # from the last to the first
    for j in reversed(range(p)):
        value = columns[j][-1]
        for later, known in enumerate(reversed(x), start=1):
            value = value - columns[j][later] * known
        x.append(value * inverses[j])
    return jnp.moveaxis(jnp.stack(x[::-1]), 0, -1).reshape(*batch, p)


@solve_spd.def_vmap
def _solve_batch(size: int, batched: list[bool], matrix: Array, right: Array) -> tuple[Array, bool]:
    """One more leading axis; nothing is transposed until all of them are there."""
    matrix = matrix if batched[0] else jnp.broadcast_to(matrix, (size, *matrix.shape))
    right = right if batched[1] else jnp.broadcast_to(right, (size, *right.shape))
    return solve_spd(matrix, right), True
