"""How m3jax computes, whatever its caller does: arithmetic, compiled code, and what needs none."""

from ._arithmetic import array_namespace, in_double_precision
from ._compiled import KEPT, jit_by_first, keep_compiled
from ._elementwise import Compiled, Elementwise, NotElementwise, listing, pointwise

__all__ = [
    "KEPT",
    "Compiled",
    "Elementwise",
    "NotElementwise",
    "array_namespace",
    "in_double_precision",
    "jit_by_first",
    "keep_compiled",
    "listing",
    "pointwise",
]
