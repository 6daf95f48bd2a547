"""Fits that tests of several folders look at."""

import jax
import numpy as np
import pandas as pd
import pytest

from benchmarks.studies.pooling import few_runs
from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Recipe, RunTable, fit, get_law

from .tables import CHINCHILLA, NOISE, case, doubled, frame, lonely, odd, together, trend


@pytest.fixture(scope="session")
def simple():
    """Runs of the Chinchilla law, one language for everything that can be wrong with them."""
    clean = [frame(f"clean{i}", i) for i in range(6)]
    two = frame("two sizes", 17, n_params=np.tile([1e8, 4e8], 30))
    few = frame("few", 16, n=2)
    tables = [*clean, odd(), trend(), lonely(), together(), doubled(), two, few]
    return case(tables, "chinchilla")


@pytest.fixture(scope="session")
def full():
    """Runs of m3, one language for everything that can be missing."""
    tables = [
        frame("whole", 1, law="m3", n=80),
        frame("one stage", 2, law="m3", n=80, final_ratio="same"),
        frame("one epoch", 3, law="m3", n=80, epochs=np.tile([0.25, 0.5, 1.0, 1.0], 20)),
        frame("one size", 4, law="m3", n=80, n_params=1e8),
        frame("two epochs", 5, law="m3", n=80, epochs=np.tile([1.0, 4.0], 40)),
    ]
    return case(tables, "m3", starts=16)


@pytest.fixture(scope="session")
def many():
    """The same Chinchilla runs over and over, with new noise each time."""
    design = frame("", 0, n=48).drop(columns=["loss", "language", "run_id"])
    recipe = Recipe.create(**{c: design[c].to_numpy() for c in design})
    with jax.enable_x64(True):
        loss = np.asarray(get_law("chinchilla").loss(CHINCHILLA, recipe))
    rng = np.random.default_rng(1)
    frames = [
        design.assign(language=f"l{i:03d}", loss=loss * np.exp(NOISE * rng.standard_normal(48)))
        for i in range(64)
    ]
    runs = RunTable.from_frame(pd.concat(frames).assign(seed=lambda f: np.arange(len(f))))
    return runs, fit(
        runs, "chinchilla", huber_delta=0.004, starts=4, draws=48, intervals="bootstrap"
    )


@pytest.fixture(scope="session")
def synthetic():
    """Two made-up languages, 80 runs each."""
    return run_table(true_theta(2, 3), 80, 0.003, 5)


COUNTS = np.array([100, 100, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])


@pytest.fixture(scope="session")
def theta():
    return true_theta(len(COUNTS), 3)


@pytest.fixture(scope="session")
def few(theta):
    """Full `m3`, two languages with 100 runs and ten with 3 to 12."""
    return few_runs(theta, COUNTS, 0.01, 5)


@pytest.fixture(scope="session")
def partial(few):
    return fit(few, pool="partial", draws=20)


@pytest.fixture(scope="session")
def eight():
    """A language with many runs, which sets the shape that is compiled, and two with eight."""
    return few_runs(true_theta(3, 3), np.array([100, 8, 8]), 0.003, 5)
