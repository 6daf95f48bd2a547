"""A law of ten lines goes everywhere that the built-in ones go."""

import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Coefficient, Law, compare, fit, laws, optimize, recommend, register_law, weigh

RATIO_POWER = Law(
    name="ratio_power",
    coefficients=(
        Coefficient("E", start=(0.5, 3.0), bounds=(1e-3, 1e2), log=True, neutral=1e-3),
        Coefficient("A", start=(1.0, 1e4), bounds=(1e-6, 1e9), log=True, neutral=1e-6),
        Coefficient("B", start=(1.0, 1e4), bounds=(1e-6, 1e9), log=True, neutral=1e-6),
        Coefficient("b", start=(0.2, 0.5), bounds=(0.0, 3.0)),
    ),
    function=lambda c, r: (
        c["E"] + c["A"] * r.n_params ** -c["b"] + c["B"] * r.total_tokens ** -c["b"]
    ),
    variables=("n_params", "total_tokens"),
)


@pytest.fixture(scope="module")
def runs():
    return run_table(true_theta(2, 3), 40, 0.003, 5)


@pytest.mark.slow
def test_a_users_law_is_fitted_compared_and_optimized(runs, monkeypatch):
    monkeypatch.setattr(laws, "_REGISTRY", dict(laws._REGISTRY))
    register_law(RATIO_POWER)
    fits = fit(runs, "ratio_power", draws=0, engine="host")
    assert fits.converged.all()
    scores = compare(runs, ["chinchilla", "ratio_power"])
    assert {s.law for s in scores if s.mae is not None} == {"chinchilla", "ratio_power"}

    place = {"compute": 1e19, "target_tokens": 1e8}
    alone = optimize(fits, draws=0, **place)
    assert alone.feasible.all()

    rival = fit(runs, "chinchilla", draws=0, engine="host")
    weights = weigh(runs, ["chinchilla", "ratio_power"], starts=2)
    both = recommend([rival, fits], weights, draws=0, **place)
    assert set(both.laws) <= {"chinchilla", "ratio_power"}
    assert both.feasible.all()
    for i, language in enumerate(both.languages):
        # The budget is kept, no law can lose less than nothing, and the loss is the mean.
        recipe = both.at(i, 0, 0)
        assert recipe.compute <= 1e19 * (1 + 1e-6)
        assert both.cost_by_law[i, 0, 0].min() > -1e-6
        told = both.loss_by_law[i, 0, 0] @ both.weights[i]
        assert both.loss[i, 0, 0] == pytest.approx(told)
        own = [both.by_law[law].at(i, 0, 0).n_params for law in both.laws]
        assert min(own) * (1 - 1e-6) <= recipe.n_params <= max(own) * (1 + 1e-6)
        assert sum(both.weights[i]) == pytest.approx(1)
        assert both.records()[i]["language"] == language
