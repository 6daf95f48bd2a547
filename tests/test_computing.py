"""Compiled code is found again, and that of what is not used any more goes."""

import gc
import weakref

import numpy as np

from m3jax.computing import KEPT, jit_by_first


class Shift:
    """What a caller makes anew, again and again."""

    def __init__(self, by):
        self.by = by


def test_it_is_compiled_once_for_each_and_kept_for_the_last():
    traced = []

    def shifted(shift, x):
        traced.append(shift.by)
        return x + shift.by

    compiled = jit_by_first(shifted)
    first, made = Shift(0), []
    for i in range(KEPT + 8):
        shift = Shift(i)
        made.append(weakref.ref(shift))
        for _ in range(2):
            np.testing.assert_allclose(compiled(shift, np.ones(2)), 1 + i)
        np.testing.assert_allclose(compiled(first, np.ones(2)), 1)
    assert sorted(traced) == [0, *range(KEPT + 8)]
    del shift
    traced.clear()
    gc.collect()
    assert sum(one() is not None for one in made) == KEPT - 1
