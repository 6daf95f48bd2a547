"""The arithmetic that m3jax computes in, whatever its caller has set JAX to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def in_double_precision() -> Iterator[None]:
    """64 bits, and JAX as it comes: a caller's stricter rules and traps are for their code."""
    with (
        jax.enable_x64(True),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_nans(False),
        jax.debug_infs(False),
    ):
        yield
