"""The arithmetic: 64 bits, and whose arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._compiled import keep_compiled


@contextmanager
def in_double_precision() -> Iterator[None]:
    """64 bits, and JAX as it comes: a caller's stricter rules and traps are for their code.

    What is compiled meanwhile is kept, see `keep_compiled`.
    """
    keep_compiled()
    with (
        jax.enable_x64(True),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_nans(False),
        jax.debug_infs(False),
    ):
        yield


def array_namespace(*arrays: Any) -> ModuleType:
    """`jax.numpy` where any of the arrays is JAX's, a traced one too; `numpy` otherwise.

    What is written over it runs compiled, and for small work at once, in double precision.
    """
    for array in arrays:
        # Most are NumPy's, which is sooner told.
        if type(array) is not np.ndarray and isinstance(array, jax.Array):
            return jnp
    return np
