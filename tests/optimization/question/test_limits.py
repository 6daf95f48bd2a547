"""Limits by name and as functions: they are kept, they clash, and bad ones are refused."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import M3Error, optimize
from m3jax.options import Limits
from m3jax.recipe import TWO_STAGE

from ..known_fits import fits_of


@pytest.mark.slow
def test_a_ladder_of_sizes(monkeypatch):
    fits = fits_of("m3", 3)
    ladder = [3e7, 1e8, 4e8, 1.6e9]
    options = {"compute": 1e20, "target_tokens": 1e8, **_recipes.BOUNDS}
    found = optimize(fits, ladder=ladder, **options)
    sizes = found.recipe.n_params.ravel()
    assert np.all(np.min(np.abs(np.log(sizes[:, None] / ladder)), axis=1) < 1e-9)
    each = [optimize(fits, **{**options, "n_params": (n, n)}).loss for n in ladder]
    np.testing.assert_allclose(found.loss, np.min(each, axis=0), rtol=1e-7)
    # A longer one goes by regime, and so many sizes at a time.
    solve = "m3jax.optimization.solvers._solve"
    monkeypatch.setattr(f"{solve}._FEW", 0)
    monkeypatch.setattr(f"{solve}._MANY", 2 * len(fits.languages))
    np.testing.assert_allclose(optimize(fits, ladder=ladder, **options).loss, found.loss, rtol=1e-7)
    with pytest.raises(M3Error, match="no size of the ladder"):
        optimize(fits, ladder=[1e3], **options)


@pytest.mark.slow
def test_serving_makes_models_smaller():
    fits = fits_of("m3", 3)
    options = {"compute": 1e20, "target_tokens": 3e8, **_recipes.BOUNDS}
    found = optimize(fits, inference_tokens=1e11, **options)
    r = found.recipe
    spent = r.compute + 2 * r.n_params * 1e11
    assert np.all(spent <= 1e20 * (1 + 1e-7))
    assert np.all(r.n_params < optimize(fits, **options).recipe.n_params)


@pytest.mark.slow
def test_gpu_hours():
    fits = fits_of("m3", 2)
    options = {"target_tokens": 3e8, **_recipes.BOUNDS}
    hours = 1e20 / (3600 * 4e14)
    found = optimize(fits, compute=1e21, max_gpu_hours=hours, flops_per_second=4e14, **options)
    np.testing.assert_allclose(found.loss, optimize(fits, compute=1e20, **options).loss, rtol=1e-8)
    assert "gpu_hours" in found.active(0, 0, 0)
    with pytest.raises(M3Error, match="max_gpu_hours: needs flops_per_second"):
        optimize(fits, compute=1e21, max_gpu_hours=1.0, **options)


@pytest.mark.slow
def test_lowest_first_ratio():
    fits = fits_of("m3", 2)
    bounds = _recipes.BOUNDS | {"first_share": 0.3}
    found = optimize(fits, compute=1e20, target_tokens=3e8, min_first_ratio=0.1, **bounds)
    assert np.all(found.by_regime.first_ratio[..., TWO_STAGE] >= 0.1 / (1 + 1e-8))
    none = optimize(fits, compute=1e20, target_tokens=3e8, min_first_ratio=0.1, **_recipes.BOUNDS)
    assert not np.isfinite(none.by_regime_loss[..., TWO_STAGE]).any()


@pytest.mark.slow
def test_constraints_of_ones_own():
    fits = fits_of("m3", 2)
    options = {"compute": 1e20, "target_tokens": 3e8, **_recipes.BOUNDS}

    def at_most_four(recipe):
        return jnp.log(recipe.epochs) - jnp.log(4.0)

    found = optimize(fits, constraints=at_most_four, **options)
    bounded = optimize(fits, **{**options, "epochs": (1.0, 4.0)})
    np.testing.assert_allclose(found.loss, bounded.loss, rtol=1e-5)
    with pytest.raises(M3Error, match="constraints given as functions cannot be kept"):
        optimize(fits, constraints=lambda recipe: recipe.epochs * 0 + 1.0, **options)


@pytest.mark.slow
def test_a_cap_on_the_loss_on_source_text():
    fits = fits_of("m3", 2)
    # More source tokens, lower source loss.
    source = fits_of("m3", 2)
    theta = source.theta.copy()
    theta[:, source.law.names.index("gamma")] = -0.1
    source = dataclasses.replace(source, theta=theta)
    options = {"compute": 1e20, "target_tokens": 3e8, **_recipes.BOUNDS}
    free = optimize(fits, **options)
    at = [source.predict(free.at(i, 0, 0), source.languages[i]) for i in range(2)]
    cap = 0.995 * max(float(a) for a in at)
    found = optimize(fits, source_fits=source, max_source_loss=cap, **options)
    assert found.feasible.all()
    for i in range(2):
        assert source.predict(found.at(i, 0, 0), source.languages[i]) <= cap * (1 + 1e-6)
    assert np.all(found.loss >= free.loss - 1e-9)
    assert np.any(found.loss > free.loss + 1e-6)


def test_limits_that_clash_are_the_fewest():
    fits = fits_of("m3", 1)
    with pytest.raises(M3Error) as error:
        optimize(
            fits,
            compute=1e15,
            target_tokens=1e9,
            n_params=(1e9, 1e10),
            epochs=(4.0, 8.0),
            max_total_tokens=1e11,
        )
    told = str(error.value).partition("these limits clash: ")[2].split(", ")
    assert told[:3] == ["compute budget", "n_params ≥ 1.00B (n_params)", "epochs ≥ 4 (epochs)"]
    assert all(limit.startswith("target_ratio ≤") for limit in told[3:])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ladder": []}, "ladder: expected positive"),
        ({"inference_tokens": -1.0}, "inference_tokens"),
        ({"max_source_loss": 3.0}, "expected both or neither"),
        ({"max_epochs": 3.0}, "unknown option 'max_epochs'"),
        ({"objective": "best"}, "objective: expected 'point'"),
        ({"objective": "mean"}, "needs bootstrap draws"),
    ],
)
def test_bad_limits_are_refused(options, words):
    with pytest.raises(M3Error, match=words):
        optimize(fits_of("m3", 1), compute=1e20, target_tokens=1e8, **options)


def test_a_ladder_is_sorted():
    assert Limits.of(ladder=[2e8, 1e8]).ladder == (1e8, 2e8)
