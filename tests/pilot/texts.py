"""Made-up texts, and the smallest model."""

import numpy as np

from m3jax.pilot import Shape

TINY = Shape(1, 16)

LENGTH = 16


def random_bytes(count, seed=0, low=97, high=123):
    return np.random.default_rng(seed).integers(low, high, count).astype(np.uint8)


def predicted(starts, length=LENGTH):
    """The tokens that windows predict, (windows, length)."""
    return np.asarray(starts)[:, None] + 1 + np.arange(length)
