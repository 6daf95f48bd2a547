"""Covariances and intervals of the delta method."""

import dataclasses
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
import pytest

from m3jax import Recipe, covariance, delta_interval
from m3jax.fitting.uncertainty import linearise


@pytest.mark.slow
def test_intervals_agree_with_the_bootstrap_and_with_the_truth(many):
    runs, fits = many
    law = fits.law
    recipe = Recipe.create(n_params=3e9, target_tokens=1e9, epochs=4.0)

    def predict(theta):
        return law.log_loss_theta(theta, recipe)

    z = NormalDist().inv_cdf(0.95)
    drawn = np.log(np.array([fits.predict_draws(recipe, name) for name in fits.languages]))
    boot = np.median((np.quantile(drawn, 0.95, 1) - np.quantile(drawn, 0.05, 1)) / (2 * z))
    ends = [delta_interval(fits, runs, predict, name) for name in fits.languages[:32]]
    width = np.median([(high - low) / (2 * z) for low, high in ends])
    values = np.log(np.array([fits.predict(recipe, name) for name in fits.languages]))
    assert width == pytest.approx(boot, rel=0.35)
    assert width == pytest.approx(np.std(values), rel=0.35)
    # Coefficients, one by one.
    error = np.median(
        [np.sqrt(np.diagonal(one.covariance)) for one in linearise(fits, runs, fits.languages)], 0
    )
    low, high = np.quantile(fits.draws, [0.05, 0.95], axis=1)
    np.testing.assert_allclose(error, np.median(high - low, axis=0) / (2 * z), rtol=0.35)
    np.testing.assert_allclose(error, np.std(fits.theta, axis=0), rtol=0.35)


@pytest.mark.slow
def test_covariance_of_held_coefficients_is_zero(full):
    matrix = covariance(full.fits, full.runs, "one stage")
    names = full.fits.law.names
    eta = names.index("eta")
    assert matrix.shape == (14, 14)
    assert matrix.dtype == np.float64
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-6, atol=1e-9)
    assert np.all(np.linalg.eigvalsh(matrix) > -1e-6 * np.trace(matrix))
    assert np.all(matrix[eta] == 0)
    assert np.all(np.delete(np.diagonal(matrix), eta) > 0)


def test_two_checkpoints_with_one_error_count_once(simple):
    """Without `run_id` the doubled half would look like independent confirmation."""
    assert simple.found["doubled"].n_runs == 90
    assert simple.found["doubled"].n_independent == 60
    apart = dataclasses.replace(simple.runs, run_id=simple.runs.row.astype(str))
    clustered = covariance(simple.fits, simple.runs, "doubled")
    independent = covariance(simple.fits, apart, "doubled")
    ratio = np.sqrt(np.diagonal(clustered) / np.diagonal(independent))
    assert np.all((ratio > 1.05) & (ratio < 1.6))


def test_delta_interval_of_any_shape(simple):
    grid = Recipe.create(n_params=np.full((2, 3), 1e8), target_tokens=1e8, epochs=2.0)

    def predict(theta):
        return jnp.exp(simple.fits.law.log_loss_theta(theta, grid))

    low, high = delta_interval(simple.fits, simple.runs, predict, "clean0", 0.5)
    wide = delta_interval(simple.fits, simple.runs, predict, "clean0", 0.99)
    value = simple.fits.predict(grid, "clean0")
    assert low.shape == high.shape == (2, 3)
    np.testing.assert_allclose((low + high) / 2, value, rtol=1e-12)
    assert np.all(wide[0] < low)
    assert np.all(high < wide[1])
