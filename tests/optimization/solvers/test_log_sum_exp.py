"""Derivatives of the bending features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.laws.m3 import log_counted_ratio
from m3jax.optimization.solvers import (
    STAGED,
    log_repetition_derivatives,
    log_text_derivatives,
    stage_curvature_bounds,
    stage_derivatives,
)
from m3jax.recipe import Recipe


def test_bends_and_their_derivatives():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        k, r = jnp.asarray(rng.uniform(-2, 5, 200)), jnp.asarray(rng.uniform(-4, 0, 200))
        shape = jnp.asarray(rng.uniform(-3, 5, 200))
        _, by_k, kk = log_repetition_derivatives(k, shape)
        once, twice = differentiated(lambda k, s: log_repetition_derivatives(k, s)[0], k, shape)
        np.testing.assert_allclose(by_k, once, atol=1e-9)
        np.testing.assert_allclose(kk, twice, atol=1e-7)
        _, by_k, by_r, kk, kr, rr = log_text_derivatives(k, r, shape)
        text = lambda k, r, s: log_text_derivatives(k, r, s)[0]  # noqa: E731
        first = jax.vmap(jax.grad(text, (0, 1)))(k, r, shape)
        second = jax.vmap(jax.hessian(text, (0, 1)))(k, r, shape)
        np.testing.assert_allclose(by_k, first[0], atol=1e-9)
        np.testing.assert_allclose(by_r, first[1], atol=1e-9)
        np.testing.assert_allclose(kk, second[0][0], atol=1e-7)
        np.testing.assert_allclose(kr, second[0][1], atol=1e-7)
        np.testing.assert_allclose(rr, second[1][1], atol=1e-7)


def differentiated(function, x, *others):
    slope = jax.grad(function)
    return jax.vmap(slope)(x, *others), jax.vmap(jax.grad(slope))(x, *others)


@pytest.mark.parametrize("feature", STAGED)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_what_the_stage_bends(feature, share):
    with jax.enable_x64(True):
        stage = jnp.linspace(0.0, 6.0, 301)
        _, slope, bend = stage_derivatives(feature, stage, jnp.asarray(share))
        once, twice = differentiated(
            lambda t: stage_derivatives(feature, t, jnp.asarray(share))[0], stage
        )
        np.testing.assert_allclose(slope, once, atol=1e-12)
        np.testing.assert_allclose(bend, twice, atol=1e-12)
        # As the law has it: n_params, D_T, k, r, r_f, r_1.
        ratio, one = 1e-3, np.ones(300)
        final = ratio * np.exp(np.asarray(stage[1:]))
        recipe = Recipe(one, one, one, ratio * one, final, share * ratio * one)
        expected = {
            "counted_ratio": log_counted_ratio(recipe) - np.log(ratio),
            "stage_fraction": np.log(recipe.stage_fraction),
        }[feature]
        value = stage_derivatives(feature, stage, jnp.asarray(share))[0]
        np.testing.assert_allclose(value[1:], expected, atol=1e-9)


@pytest.mark.parametrize("feature", STAGED)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_curvature_in_the_stage_is_within_its_bounds(feature, share):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 5, 500)
    high = low + rng.exponential(0.5, 500)
    least, most = stage_curvature_bounds(feature, low, high, np.array(share))
    inside = low + (high - low) * np.linspace(0, 1, 101)[:, None]
    bend = stage_derivatives(feature, inside, np.array(share))[2]
    assert np.all(least <= bend.min(axis=0) + 1e-12)
    assert np.all(most >= bend.max(axis=0) - 1e-12)
    # And not far from it, or boxes would never close.
    narrow = stage_curvature_bounds(feature, low, low + 1e-9, np.array(share))
    np.testing.assert_allclose(narrow, np.stack([bend[0]] * 2), atol=1e-6)
