"""Huber's delta where nobody gives it: what each language's own runs scatter by."""

import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import fit

QUICK = {"law": "chinchilla", "draws": 0, "engine": "host", "starts": 4}


@pytest.fixture(scope="module")
def noisy():
    """Runs of the law at hand that scatter by 0.02."""
    return run_table(true_theta(4, 0, "chinchilla"), 80, 0.02, 1)


@pytest.fixture(scope="module")
def fits(noisy):
    return fit(noisy, **QUICK)


def test_it_is_half_the_noise_that_the_runs_were_made_with(fits):
    np.testing.assert_allclose(fits.huber_delta, 0.01, rtol=0.35)


def test_quieter_runs_get_less_of_it(fits):
    quiet = fit(run_table(true_theta(4, 0, "chinchilla"), 80, 0.002, 1), **QUICK)
    assert np.all(quiet.huber_delta < fits.huber_delta / 3)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_seed_of_the_search_does_not_change_what_is_searched_for(noisy, fits, seed):
    other = fit(noisy, **QUICK, seed=seed)
    np.testing.assert_array_equal(other.huber_delta, fits.huber_delta)


def test_the_number_told_leads_to_the_same_fit_and_other_languages_do_not_count(noisy, fits):
    for i, name in enumerate(fits.languages):
        alone = noisy.select(noisy.language == name)
        given = fit(alone, **QUICK, huber_delta=float(fits.huber_delta[i]))
        np.testing.assert_allclose(given.theta[0], fits.theta[i], rtol=1e-9)
        assert fit(alone, **QUICK).huber_delta[0] == fits.huber_delta[i]


def test_both_engines_say_the_same(noisy, fits):
    batch = fit(noisy, **QUICK | {"engine": "batch"})
    np.testing.assert_array_equal(batch.huber_delta, fits.huber_delta)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_few_runs_get_what_training_runs_usually_scatter_by(noisy, count):
    few = noisy.select(np.isin(noisy.row, noisy.row[:count]))
    delta = fit(few, **QUICK).huber_delta
    assert len(delta) == 1
    assert 0.002 < delta[0] < 0.02


def test_it_is_told_in_the_file_and_comes_back(fits, tmp_path):
    path = fits.save(tmp_path / "fits.json")
    again = type(fits).load(path)
    np.testing.assert_array_equal(again.huber_delta, fits.huber_delta)
    told = [entry["huber_delta"] for entry in fits.to_dict()["languages"].values()]
    assert told == fits.huber_delta.tolist()
    assert fits.settings["huber_delta"] is None
