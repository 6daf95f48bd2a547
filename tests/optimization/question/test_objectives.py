"""Objectives over the draws."""

import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import optimize

from ..known_fits import fits_of


@pytest.mark.slow
def test_objectives_over_the_draws():
    fits = fits_of("m3", 2, draws=12)
    options = {"compute": 1e20, "target_tokens": 1e8, **_recipes.BOUNDS}
    found = {
        name: optimize(fits, objective=name, **options) for name in ("point", "mean", "regret")
    }
    for i, language in enumerate(fits.languages):
        draws = {n: fits.predict_draws(f.at(i, 0, 0), language) for n, f in found.items()}
        assert np.mean(draws["mean"]) <= np.mean(draws["point"]) + 1e-6
        assert found["regret"].loss[i, 0, 0] >= found["point"].loss[i, 0, 0] - 1e-9
