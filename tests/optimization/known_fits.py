"""Fits whose coefficients are known, as if they had been fitted."""

import dataclasses

import numpy as np

from benchmarks.support import recipes as _recipes
from m3jax.fitting import Fits


def fits_of(law: str, languages: int = 4, draws: int = 0, seed: int = 3) -> Fits:
    """Of made-up languages, with `draws` about the coefficients."""
    fits = _recipes.fits_of(languages, seed, law)
    jitter = np.random.default_rng(1).normal(0, 0.01, (languages, draws, fits.theta.shape[1]))
    bends = np.zeros((languages, draws, 5))
    return dataclasses.replace(fits, draws=fits.theta[:, None] + jitter, bends=bends)
