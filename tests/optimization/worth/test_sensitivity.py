"""How the recipe moves with what was asked: elasticities, prices, kinks."""

import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import optimize, sensitivities
from m3jax.recipe import REGIMES

from ..known_fits import fits_of


@pytest.mark.slow
def test_sensitivities():
    fits = fits_of("m3", 3)
    options = {"target_tokens": 1e8, **_recipes.BOUNDS}
    found = optimize(fits, compute=1e20, **options)
    up, down = (optimize(fits, compute=1e20 * np.exp(s), **options) for s in (1e-3, -1e-3))
    for i in range(3):
        told = sensitivities(found, i, 0, 0)
        assert told.regime == REGIMES[found.regime[i, 0, 0]]
        slope = np.log(up.loss[i, 0, 0] / down.loss[i, 0, 0]) / 2e-3
        assert told.elasticity["compute"]["loss"] == pytest.approx(slope, rel=1e-3)
        assert any("10% more compute lowers the loss by" in price for price in told.prices.values())
        assert told.elasticity["compute"]["loss"] == pytest.approx(
            -found.multipliers[i, 0, 0, 0], rel=1e-4
        )


@pytest.mark.slow
def test_a_kink_is_said():
    fits = fits_of("m3", 1)
    bounds = _recipes.BOUNDS | {"target_ratio": (0.05, 0.9), "final_ratio": (0.05, 0.9)}
    free = optimize(fits, compute=1e20, target_tokens=3e8, **bounds)
    assert not sensitivities(free, 0, 0, 0).kinks
    # A bound put exactly where the optimum is anyway.
    at = float(free.recipe.epochs[0, 0, 0])
    assert 1 < at < 64
    edge = optimize(fits, compute=1e20, target_tokens=3e8, **bounds | {"epochs": (1.0, at)})
    kinks = sensitivities(edge, 0, 0, 0).kinks
    assert any("most epochs allowed: on the edge of mattering" in kink for kink in kinks)
