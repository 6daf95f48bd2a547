"""Loss given up by other regimes, and the compute that makes up for it."""

import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import M3Error, compute_gain, loss_given_up, optimize
from m3jax.recipe import MONOLINGUAL

from ..known_fits import fits_of


@pytest.mark.slow
def test_compute_gain_and_loss_given_up():
    fits = fits_of("m3", 4)
    options = {"target_tokens": 3e7, **_recipes.BOUNDS}
    found = optimize(fits, compute=1e20, **options)
    gain = compute_gain(found)
    assert np.all(gain >= 1)
    given_up = loss_given_up(found)
    assert np.all(given_up.min(axis=-1) == 0)
    for i in range(4):
        if not 1 < gain[i, 0, 0] < np.inf:
            continue
        more = optimize(
            fits, compute=1e20 * gain[i, 0, 0], languages=[fits.languages[i]], **options
        )
        mono = more.by_regime_loss[0, 0, 0, MONOLINGUAL]
        assert mono == pytest.approx(found.loss[i, 0, 0], rel=1e-6)
    with pytest.raises(M3Error, match="unknown regime"):
        compute_gain(found, "trilingual")
