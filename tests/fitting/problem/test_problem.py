"""Which coefficients runs may be fitted with, and which languages."""

import numpy as np
import pytest

from m3jax import Coefficient, Law, M3Error, fit

from ..tables import noisy_runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "frozen", "words"),
    [
        ({}, {"eta"}, "no two-stage runs"),
        ({"n_params": 1e8}, {"A", "alpha", "kappa", "eta"}, "all runs have one model size"),
        (
            {"target_ratio": 1.0},
            {"gamma", "eta", "theta", "tau"},
            "no run has source text",
        ),
        (
            {"target_ratio": 0.5, "final_ratio": 0.5},
            {"gamma", "eta", "theta", "tau"},
            "all runs have one target ratio",
        ),
        (
            {"epochs": 1.0},
            {"P", "delta", "kappa", "omega", "theta", "R", "tau", "eta"},
            "no run goes beyond one epoch",
        ),
    ],
)
def test_undetermined_coefficients_are_frozen_and_named(held, frozen, words):
    fits = fit(noisy_runs(**held), "m3", draws=0, starts=16)
    names = fits.law.names
    assert {names[i] for i in np.flatnonzero(fits.frozen[0])} == frozen
    assert any(words in message for message in fits.messages[0])
    assert "eta" not in frozen or fits.coefficients()["eta"] == 0.0


@pytest.mark.slow
def test_two_coefficients_that_do_the_same_are_told_apart_by_neither():
    double = Law(
        name="double",
        coefficients=(
            Coefficient("a", (0.5, 3.0), (1e-3, 1e3), log=True, neutral=1.0),
            Coefficient("b", (0.5, 3.0), (1e-3, 1e3), log=True, neutral=1.0),
            Coefficient("c", (0.0, 0.5), (-2.0, 2.0)),
        ),
        function=lambda c, recipe: c["a"] * c["b"] * recipe.n_params ** -c["c"],
    )
    fits = fit(noisy_runs(), double, draws=4, starts=8, prior="none")
    assert fits.frozen[0].tolist() == [False, True, False]
    assert fits.coefficients()["b"] == pytest.approx(1.0)
    assert "b cannot be told" in " ".join(fits.messages[0])


@pytest.mark.slow
def test_too_few_runs_is_a_status_of_that_language_alone(synthetic):
    name = synthetic.languages[1]
    keep = (synthetic.language != name) | (np.arange(len(synthetic)) < 82)
    fits = fit(synthetic.select(keep), draws=0, starts=8)
    assert fits.languages == (synthetic.languages[0],)
    n_runs, reason = fits.failed[name]
    assert n_runs == 2
    assert "too few runs: 2" in reason
    with pytest.raises(M3Error, match="too few runs"):
        fits.coefficients(name)
