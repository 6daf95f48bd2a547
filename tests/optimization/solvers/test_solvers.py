"""The solvers of the optimiser: against each other, geometric programs, proofs, derivatives."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.studies import agreement
from benchmarks.support import recipes as _recipes
from m3jax import M3Error, Recipe, optimize
from m3jax.optimization.solvers import above_text, chord, repetition, text

from ..known_fits import fits_of


@pytest.mark.slow
def test_the_solvers_agree_with_each_other_and_with_cvxpy(monkeypatch, capsys):
    pytest.importorskip("cvxpy")
    monkeypatch.setattr("sys.argv", ["agreement", "--problems", "20", "--json"])
    assert agreement.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["solvable"] >= 14
    assert result["patterns_of_active_limits"] >= 8
    assert 0 <= result["max_gap"] < 1e-7
    assert result["cvxpy"]["same_solvable"]
    assert result["cvxpy"]["max_difference"] < 1e-6
    assert result["general"]["same_solvable"]
    assert result["general"]["max_difference"] < 1e-5


# Proofs for m3


def test_bends_and_their_derivatives():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        k, r = jnp.asarray(rng.uniform(-2, 5, 200)), jnp.asarray(rng.uniform(-4, 0, 200))
        shape = jnp.asarray(rng.uniform(-3, 5, 200))
        for bend in (lambda k, r, s: repetition(k, s), text):
            _, by_k, by_r, kk, kr, rr = bend(k, r, shape)
            first = jax.vmap(jax.grad(lambda k, r, s, b=bend: b(k, r, s)[0], (0, 1)))(k, r, shape)
            second = jax.vmap(jax.hessian(lambda k, r, s, b=bend: b(k, r, s)[0], (0, 1)))(
                k, r, shape
            )
            np.testing.assert_allclose(by_k, first[0], atol=1e-9)
            np.testing.assert_allclose(by_r, first[1], atol=1e-9)
            np.testing.assert_allclose(kk, second[0][0], atol=1e-7)
            np.testing.assert_allclose(kr, second[0][1], atol=1e-7)
            np.testing.assert_allclose(rr, second[1][1], atol=1e-7)


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
            a, b, c = above_text(low, high, shape)
            assert np.min(a + b * k + c * r - text(k, r, shape)[0]) >= -1e-12
            a, b = chord(lambda k, s=shape: repetition(k, s)[0], low[0], high[0])
            assert np.max(a + b * k - repetition(jnp.asarray(k), shape)[0]) <= 1e-12


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


def test_what_cannot_be_proven_is_refused():
    fits = fits_of("m3", 1)
    options = {"compute": 1e20, "target_tokens": 1e8}
    with pytest.raises(M3Error, match="certify=True needs a law made of terms"):
        optimize(fits, certify=True, constraints=lambda recipe: recipe.epochs - 4, **options)
    with pytest.raises(M3Error, match="method: expected 'auto'"):
        optimize(fits, method="magic", **options)
