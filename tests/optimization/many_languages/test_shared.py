"""One model for many target languages."""

import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import M3Error, optimize
from m3jax.optimization import shared_model

WIDE = {"target_ratio": (1e-4, 1.0), "final_ratio": (1e-4, 1.0), "epochs": (0.1, 64.0)}


def sizes_of(fits) -> dict[str, float]:
    return dict(zip(fits.languages, np.geomspace(2e7, 5e8, len(fits.languages)), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("law", ["m3", "m3_posynomial"])
def test_shared_model_of_one_language_is_its_best_recipe(law):
    fits = _recipes.fits_of(1, 3, law)
    found = shared_model(fits, compute=1e20, target_tokens=5e7)
    alone = optimize(fits, compute=1e20, target_tokens=5e7, draws=0)
    assert found.mean_loss == pytest.approx(alone.loss[0, 0, 0], rel=1e-6)
    assert found.recipe.epochs[0] == pytest.approx(alone.recipe.epochs[0, 0, 0], rel=1e-3)


def test_shared_model_is_proven_best_for_a_posynomial_law():
    fits = _recipes.fits_of(20, 3, "m3_posynomial")
    found = shared_model(fits, compute=1e21, target_tokens=sizes_of(fits), **WIDE)
    assert found.gap < 1e-6
    assert found.kkt < 1e-6
    recipe = found.recipe
    assert recipe.target_ratio.sum() <= 1
    assert recipe.target_ratio.sum() + found.source_ratio == pytest.approx(1)
    tokens = recipe.epochs * recipe.target_tokens / recipe.target_ratio
    np.testing.assert_allclose(tokens, found.total_tokens)
    assert 6 * found.n_params * found.total_tokens <= 1e21 * (1 + 1e-9)
    content = found.to_dict()
    assert content["gap"] == found.gap
    assert len(content["languages"]) == 20


@pytest.mark.slow
def test_shared_model_of_m3_is_stationary_and_starts_agree():
    fits = _recipes.fits_of(5, 3, "m3")
    found = shared_model(fits, compute=1e21, target_tokens=sizes_of(fits), **WIDE)
    assert found.kkt < 1e-6
    assert found.agreement == 1.0
    assert found.gap == np.inf
    assert found.to_dict()["gap"] is None


def test_ratios_that_cannot_fit_together_are_refused():
    fits = _recipes.fits_of(40, 3, "m3_posynomial")
    with pytest.raises(M3Error, match="lowest target ratios of the 40 languages sum to"):
        shared_model(fits, compute=1e22, target_tokens=1e8)
    with pytest.raises(M3Error, match="'ladder' is not available"):
        shared_model(fits, compute=1e22, target_tokens=1e8, ladder=[1e8])
