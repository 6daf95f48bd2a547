"""The search from many starts."""

from importlib.resources import as_file, files

import numpy as np
import pytest

from benchmarks.studies.search import penalty
from m3jax import RunTable, fit


@pytest.fixture(scope="module")
def indonesian():
    """Real runs that two stories fit nearly as well."""
    with as_file(files("m3jax") / "data" / "tiny_two_stage.csv") as path:
        return RunTable.read(path).for_language("Indonesian")


def test_seeds_find_one_fit_and_say_that_there_are_rivals(indonesian):
    first, second = (fit(indonesian, draws=0, engine="host", seed=seed) for seed in (0, 3))
    ours, theirs = (f.objective + first.prior_weight * penalty(f) for f in (first, second))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    for fits in (first, second):
        assert 0 < fits.agreement[0] < 1


def test_all_descents_agree_where_there_is_one_valley(table):
    np.testing.assert_array_equal(fit(table, "chinchilla", draws=0, engine="host").agreement, 1.0)


@pytest.mark.slow
def test_single_precision_meets_double(table):
    double = fit(table, draws=0)
    single = fit(table, draws=0, precision="float32")
    np.testing.assert_allclose(single.theta, double.theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(single.objective, double.objective, rtol=1e-4)
