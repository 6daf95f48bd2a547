"""One grade: what a fit says of itself and what its diagnosis says of it."""

import json
from pathlib import Path

import numpy as np
import pytest

import m3jax
from m3jax import Fits, RunTable, diagnose, fit
from m3jax.fitting.diagnosis import grades
from m3jax.fitting.uncertainty import linearise

from ..tables import noisy_runs

TINY = Path(m3jax.__file__).parent / "data" / "tiny_two_stage.csv"


def _agree(fits, runs):
    """The grades of a fit, those that its runs lead to anew, and those in both outputs."""
    assert grades(fits, linearise(fits, runs, fits.languages)) == fits.grades
    found = diagnose(fits, runs)
    written = fits.to_dict()["languages"]
    assert {name: entry["status"] for name, entry in written.items()} == {
        name: diagnosis.grade for name, diagnosis in found.items()
    }
    return found


def test_the_tiny_table():
    runs = RunTable.read(TINY)
    fits = fit(runs, "m3", draws=0, starts=1, engine="host")
    found = _agree(fits, runs)
    # It explains 71% and 74% of the losses, which is not "ok".
    assert fits.grades == ("weak", "weak")
    assert all("the law explains only" in " ".join(d.verdicts) for d in found.values())


def test_public_runs(shared_data):
    runs = RunTable.read(shared_data / "chinchilla" / "runs_245.csv").drop_highest(5)
    _agree(fit(runs, "chinchilla", draws=0, starts=2, engine="host"), runs)


@pytest.mark.slow
def test_with_draws_frozen_coefficients_and_languages_that_are_not_fitted(simple, full):
    for case in (simple, full):
        _agree(case.fits, case.runs)
    assert "not fitted" in {d.grade for d in simple.found.values()}


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["partial", "full"])
def test_pooled_languages(pool, simple):
    names = simple.fits.languages[:4]
    runs = simple.runs.select(np.isin(simple.runs.language, names))
    _agree(fit(runs, "chinchilla", pool=pool, draws=4, starts=2), runs)


def test_a_law_that_explains_nothing_is_not_ok(tmp_path):
    table = noisy_runs().to_frame()
    loss = np.exp(np.random.default_rng(0).normal(1, 0.1, len(table)))
    runs = RunTable.from_frame(table.assign(loss=loss))
    fits = fit(runs, "chinchilla", draws=0, starts=2, engine="host")
    _agree(fits, runs)
    assert fits.grades == ("unusable",)
    content = json.loads(fits.save(tmp_path / "fits.json").read_text())
    assert content["languages"]["all"]["status"] == "unusable"
    assert Fits.load(tmp_path / "fits.json").grades == ("unusable",)
