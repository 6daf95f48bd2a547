"""Noise that depends on epochs and ratio."""

import dataclasses

import jax
import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import diagnose, fit


def uneven(runs, power):
    """The runs with more noise by a power of epochs around their middle."""
    log_k = np.log(runs.recipe.epochs)
    factor = np.exp(power * (log_k - log_k.mean()))
    normal = np.random.default_rng(5).standard_normal(len(runs))
    return dataclasses.replace(runs, loss=runs.loss * np.exp(0.01 * factor * normal))


@pytest.fixture(scope="module")
def truth():
    return run_table(true_theta(1, 3), 120, 0.0, 4)


def test_even_noise_stays_even(truth):
    fits = fit(uneven(truth, 0.0), draws=0, noise="uneven")
    assert not fits.noise_powers.any()
    same = fit(uneven(truth, 0.0), draws=0)
    np.testing.assert_array_equal(fits.theta, same.theta)


def test_noise_that_grows_with_epochs_is_found_and_counted(truth, tmp_path):
    runs = uneven(truth, 0.8)
    plain, known = (fit(runs, draws=40, noise=noise) for noise in ("constant", "uneven"))
    assert known.noise_powers[0, 0] == pytest.approx(0.8, abs=0.25)
    assert any("epochs^" in message for message in known.messages[0])
    off = [np.abs(np.log(f.predict(truth.recipe) / truth.loss)).mean() for f in (plain, known)]
    assert off[1] < off[0]
    # One run of few epochs is foreseen better than one of many, and as told.
    few, many = (
        jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], truth.recipe)
        for i in (np.argmin(truth.recipe.epochs), np.argmax(truth.recipe.epochs))
    )
    assert known.noise_at(many)[0] > 5 * known.noise_at(few)[0]
    assert plain.noise_at(many)[0] == plain.noise_at(few)[0]
    low, high = known.loss_interval(truth.recipe, of_run=True)
    assert 0.8 < np.mean((low <= runs.loss) & (runs.loss <= high)) < 0.97
    # What goes back to the runs counts them the same, and so does a fit that was saved.
    assert diagnose(known, runs)[known.languages[0]].noise > 0
    again = type(known).load(known.save(tmp_path / "fits.json"))
    np.testing.assert_array_equal(again.noise_at(truth.recipe), known.noise_at(truth.recipe))
