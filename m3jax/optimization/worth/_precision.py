"""Answers in 64 bits for callers who work in 32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ...computing import in_double_precision


def differentiable_in_double(function: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """Values of pytrees of numbers, computed in float64 whatever precision the caller has.

    `function(*arguments)` gives values and their Jacobian by every argument, nested as
    `jax.jacfwd` does. An interior point path does not end in 32 bits, so both are computed under
    `jax.enable_x64`, and only these are rounded to the caller's precision. `jit`, `vmap`, `grad`,
    `jacfwd` and `jacrev` work in both; second derivatives do not.

    `function` must keep clear of `argmin`, `argmax` and the like: inside a caller's `jit` they are
    lowered where 64-bit types are off again.
    """
    compiled = jax.jit(lambda arguments: function(*arguments))

    def both(arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        dtype = jnp.result_type(float)
        with in_double_precision():
            exact = jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(jnp.float64), arguments)
            return jax.tree.map(lambda leaf: leaf.astype(dtype), compiled(exact))

    @jax.custom_jvp
    def call(arguments: tuple[Any, ...]) -> Any:
        return both(arguments)[0]

    @call.defjvp
    def _derivative(primals: Any, tangents: Any) -> tuple[Any, Any]:
        values, jacobian = both(primals[0])
        outer, tree = jax.tree.flatten(values)
        changes = jax.tree.leaves(tangents[0])
        # By output first, by input second.
        slopes = iter(jax.tree.leaves(jacobian))
        moved = [
            sum(jnp.tensordot(next(slopes), change, jnp.ndim(change)) for change in changes)
            for _ in outer
        ]
        return values, jax.tree.unflatten(tree, moved)

    def anywhere(*arguments: Any) -> Any:
        dtype = jnp.result_type(float)
        return call(jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), arguments))

    return anywhere
