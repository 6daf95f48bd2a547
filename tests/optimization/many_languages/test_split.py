"""One budget over many languages, with a model each."""

import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import M3Error, optimize
from m3jax.optimization import split_budget

WIDE = {"target_ratio": (1e-4, 1.0), "final_ratio": (1e-4, 1.0), "epochs": (0.1, 64.0)}


def sizes_of(fits) -> dict[str, float]:
    return dict(zip(fits.languages, np.geomspace(2e7, 5e8, len(fits.languages)), strict=True))


@pytest.mark.slow
def test_budget_split_is_proven_best_for_a_posynomial_law():
    fits = _recipes.fits_of(6, 6, "m3_posynomial")
    weights = {fits.languages[0]: 3.0}
    found = split_budget(fits, compute=3e20, target_tokens=sizes_of(fits), weights=weights)
    assert found.convex
    assert found.compute.sum() == pytest.approx(3e20)
    assert found.gap < 1e-5
    assert found.kkt < 1e-5
    assert found.mean_loss <= found.equal_loss
    assert found.weight[0] == pytest.approx(3 / 8)
    content = found.to_dict()
    assert [row["language"] for row in content["languages"]] == list(fits.languages)
    fall = 0.01 * 3e20 * found.price
    assert content["price_in_words"] == (
        f"the next 1% of compute lowers the mean loss by {fall:.2g}"
    )


@pytest.mark.slow
def test_budget_split_of_m3_is_not_beaten_by_any_on_a_grid():
    fits = _recipes.fits_of(2, 4, "m3")
    sizes = sizes_of(fits)
    found = split_budget(fits, compute=1e20, target_tokens=sizes)
    share = np.linspace(0.01, 0.99, 50)
    budgets = 1e20 * np.concatenate([share, 1 - share])
    losses = optimize(fits, compute=budgets, target_tokens=sizes, draws=0).loss[..., 0]
    mean = (losses[0, :50] + losses[1, 50:]) / 2
    assert found.mean_loss <= mean.min() + 1e-9
    assert found.mean_loss == pytest.approx(mean.min(), rel=1e-3)
    own = [
        optimize(fits, compute=c, target_tokens=sizes, languages=[n], draws=0).loss[0, 0, 0]
        for n, c in zip(found.languages, found.compute, strict=True)
    ]
    np.testing.assert_allclose(found.loss, own, rtol=1e-7)


def test_budget_that_cannot_train_all_is_refused():
    fits = _recipes.fits_of(2, 4, "m3")
    with pytest.raises(M3Error, match="cannot train all 2 languages"):
        split_budget(fits, compute=1e8, target_tokens=1e8)
    with pytest.raises(M3Error, match="weights: unknown language 'nn'"):
        split_budget(fits, compute=1e20, target_tokens=1e8, weights={"nn": 1.0})
