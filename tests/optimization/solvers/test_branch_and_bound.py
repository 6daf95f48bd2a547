"""Planes of the relaxation, and certified recipes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import Recipe, optimize
from m3jax.optimization.solvers import (
    log_repetition_derivatives,
    log_text_derivatives,
    plane_above_text,
    secant,
)
from tests.optimization.known_fits import fits_of


@pytest.mark.slow
def test_planes_bound_the_bends_in_every_box():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        for _ in range(50):
            low = np.array([rng.uniform(-1, 3), rng.uniform(-4, -0.2)])
            high = np.array([low[0] + rng.uniform(0, 4), rng.uniform(low[1], 0)])
            k = np.linspace(low[0], high[0], 30)[:, None]
            r = np.linspace(low[1], high[1], 30)[None]
            shape = rng.uniform(-4, 4)
            a, b, c = plane_above_text(low, high, shape)
            assert np.min(a + b * k + c * r - log_text_derivatives(k, r, shape)[0]) >= -1e-12
            a, b = secant(lambda k, s=shape: log_repetition_derivatives(k, s)[0], low[0], high[0])
            assert np.max(a + b * k - log_repetition_derivatives(jnp.asarray(k), shape)[0]) <= 1e-12


@pytest.mark.slow
def test_certified_recipes_of_m3():
    fits = fits_of("m3", 6)
    options = {"compute": [1e19, 3e20], "target_tokens": [2e7, 3e8], **_recipes.BOUNDS}
    found = optimize(fits, certify=True, **options)
    assert np.all(found.gap <= 1e-4)
    assert np.all(found.gap >= 0)
    fast = optimize(fits, **options)
    assert np.all(~np.isfinite(fast.gap))
    np.testing.assert_allclose(np.log(fast.loss), np.log(found.loss), atol=1e-6)
    # Nothing a dense sample of allowed recipes holds lies below the bound.
    rng = np.random.default_rng(0)
    k, r = np.exp(rng.uniform(0, np.log(64), 20_000)), np.exp(rng.uniform(np.log(0.05), 0, 20_000))
    n = np.minimum(3e20 * r / (6 * k * 2e7), np.exp(rng.uniform(np.log(1e7), np.log(1e12), 20_000)))
    sample = fits.predict(
        Recipe.create(n_params=n, target_tokens=2e7, epochs=k, target_ratio=r), fits.languages[0]
    )
    assert sample[n >= 1e7].min() >= found.loss[0, 1, 0] * np.exp(-found.gap[0, 1, 0])


@pytest.mark.slow
def test_certified_under_a_cap_on_source_text():
    fits = fits_of("m3_posynomial", 3)
    options = {"compute": [1e20], "target_tokens": [3e7], "max_source_tokens": 2e9}
    found = optimize(fits, certify=True, **options, **_recipes.BOUNDS)
    assert np.all(found.recipe.source_tokens <= 2e9 * (1 + 1e-7))
    assert np.all(found.gap <= 1e-4)
    general = optimize(fits, method="general", **options, **_recipes.BOUNDS)
    np.testing.assert_allclose(general.loss, found.loss, rtol=1e-5)
    twice = optimize(fits, max_source_epochs=2.0, **options, **_recipes.BOUNDS)
    assert np.all(twice.loss <= found.loss + 1e-9)
