"""Profiles of the objective along one coefficient."""

import numpy as np
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, fit, profile


@pytest.mark.slow
def test_a_profile_closes_around_the_fit_where_the_runs_decide():
    theta = true_theta(1, 6)
    table = run_table(theta, 100, 0.003, 8)
    fits = fit(table, draws=100)
    found = profile(fits, table, ["alpha", "gamma"])
    for name, one in found.items():
        value = fits.coefficients()[name]
        low, high = fits.intervals()[name]
        assert one.closed == (True, True)
        assert one.low < value < one.high
        assert 0.5 < (one.high - one.low) / (high - low) < 2.0
        assert one.values[0] < one.low
        assert one.high < one.values[-1]
        assert np.all(np.isfinite(one.statistic))
        assert one.statistic.min() < 0.5
    wider = profile(fits, table, ["alpha"], level=0.99)["alpha"]
    assert wider.low < found["alpha"].low
    assert found["alpha"].high < wider.high


@pytest.mark.slow
def test_a_profile_stays_open_where_the_runs_say_little():
    # Few and noisy: what a source token is worth as unique text could be next to nothing.
    few = run_table(true_theta(1, 7), 24, 0.03, 11)
    fits = fit(few, draws=0, prior="none")
    (one,) = profile(fits, few, ["tau"]).values()
    assert one.closed == (False, True)
    assert one.low == pytest.approx(1e-8)


@pytest.mark.slow
def test_profile_errors():
    table = run_table(true_theta(2, 4), 60, 0.005, 6)
    fits = fit(table, draws=0, fixed={"tau": 0.2})
    name = fits.languages[0]
    for arguments, told in (
        ((["zeta"], name), "no coefficient 'zeta'"),
        ((["tau"], name), "tau was held"),
        ((["alpha"], None), "name a language"),
    ):
        with pytest.raises(M3Error, match=told):
            profile(fits, table, *arguments)
    with pytest.raises(M3Error, match="points"):
        profile(fits, table, ["alpha"], name, points=3)
