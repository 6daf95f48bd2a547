"""The population as a result."""

import dataclasses
import json

import numpy as np
import pytest

from m3jax import Fits
from m3jax.fitting import Population, Prior
from m3jax.fitting.fit_file import signed

from ..conftest import COUNTS


@pytest.mark.slow
def test_population_is_saved_and_read_back(partial, tmp_path):
    path = partial.save(tmp_path / "fits.json")
    loaded = Fits.load(path).population
    for field in dataclasses.fields(Population):
        expected, found = (getattr(p, field.name) for p in (partial.population, loaded))
        np.testing.assert_array_equal(found, expected)
    content = json.loads(path.read_text())
    assert content["population"]["languages"] == len(COUNTS)
    assert 3 <= content["population"]["rounds"] <= 8
    assert content["settings"]["pool"] == "partial"
    del content["population"]  # files from before there was pooling
    path.write_text(json.dumps(signed(content)))
    assert Fits.load(path).population is None


@pytest.mark.slow
def test_population_says_what_it_is(partial):
    population, law = partial.population, partial.law
    assert 0.005 < population.noise < 0.02
    assert population.status.startswith("settled" if population.settled else "still drifting")
    drifting = dataclasses.replace(population, settled=False, rounds=8)
    assert drifting.status.startswith("still drifting after 8 rounds")
    Prior(population.ranges(law)).check(law)
    assert np.all((population.rho >= 0) & (population.rho <= 1))
