"""How well the runs determine each coefficient."""

import dataclasses
import json

import pytest

from m3jax import diagnose, fit
from m3jax.fitting import Fits, Prior


def test_held_coefficients_are_fixed_by_the_user(simple):
    frozen, settings = simple.fits.frozen.copy(), {**simple.fits.settings, "fixed": {"alpha": 0.34}}
    frozen[:, 2] = True
    fits = dataclasses.replace(simple.fits, frozen=frozen, settings=settings)
    alpha = diagnose(fits, simple.runs)["clean0"].coefficients[2]
    assert (alpha.name, alpha.determined, alpha.note) == ("alpha", "fixed", "held: by you")
    assert alpha.standard_error is None
    assert alpha.share is None


def test_without_a_prior_nothing_is_called_prior_only(simple):
    bare = fit(simple.runs, "chinchilla", huber_delta=0.004, starts=8, draws=0, prior="none")
    for diagnosis in diagnose(bare, simple.runs).values():
        assert {c.determined for c in diagnosis.coefficients} <= {"well", "weakly", "not"}
        json.dumps(diagnosis.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_a_prior_of_your_own_is_what_the_runs_are_judged_against(simple, tmp_path):
    runs = simple.runs.select(simple.runs.language == "clean0")
    prior = Prior({"alpha": (0.3399, 0.3401), "A": (0.01, 1.0)}, "a guess")
    fits = fit(runs, "chinchilla", huber_delta=0.004, draws=0, prior=prior)
    loaded = Fits.load(fits.save(tmp_path / "fits.json"))
    for given in (fits, loaded):
        found = {c.name: c for c in diagnose(given, runs)["clean0"].coefficients}
        assert found["alpha"].determined == "prior only"
        assert found["alpha"].standard_error == pytest.approx(1e-4, rel=0.05)
        assert found["beta"].determined == "well"
    free = {c.name: c for c in simple.found["clean0"].coefficients}
    assert free["alpha"].determined != "prior only"
