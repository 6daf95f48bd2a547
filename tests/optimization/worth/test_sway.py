"""Recipes that hang on one or two runs."""

import dataclasses
from importlib import resources

import jax
import numpy as np
import pytest

from m3jax import M3Error, RunTable, fit, optimize, swaying_runs, worth_records
from m3jax.fitting import linearise

PILOT = resources.files("m3jax") / "data" / "pilot_debian.csv"
# The share before the final stage is given: without some of the runs it would be another.
QUESTION = {
    "compute": 1e12, "target_tokens": 65536, "max_source_tokens": 2.5e6, "first_share": 0.3
}  # fmt: skip


@pytest.fixture(scope="module")
def runs():
    return RunTable.read(str(PILOT)).for_language("French")


def with_two_bad_runs(runs):
    """Two of the runs with many epochs are made 40% worse: as if repetition did much harm."""
    order = np.argsort(np.asarray(runs.recipe.epochs))
    bad = order[[-12, -14]]
    loss = runs.loss.copy()
    loss[bad] *= 1.4
    return dataclasses.replace(runs, loss=loss), set(runs.run_id[bad].astype(str))


def test_a_newton_step_foretells_the_fit_without_a_run(runs):
    fits = fit(runs, "chinchilla", draws=0)
    (linearised,) = linearise(fits, runs, ["French"])
    foretold = linearised.theta_without_each()
    assert foretold.shape == (len(runs), 5)
    leverage = np.argsort(-linearised.leverage)[:3]
    for i in leverage:
        left = runs.select(np.arange(len(runs)) != i)
        again = fit(left, "chinchilla", draws=0, huber_delta=float(fits.huber_delta[0]))
        moved = np.log(again.predict(runs.recipe) / fits.predict(runs.recipe))
        step = dataclasses.replace(fits, theta=foretold[None, i])
        expected = np.log(step.predict(runs.recipe) / fits.predict(runs.recipe))
        assert np.linalg.norm(moved - expected) < 0.5 * np.linalg.norm(moved) + 1e-3


@pytest.mark.slow
def test_bad_runs_that_decide_a_recipe_are_found(runs):
    table, bad = with_two_bad_runs(runs)
    fits = fit(table, draws=0, starts=2, huber_delta=0.3)  # so wide that no run is an outlier
    recommendations = optimize(fits, draws=0, **QUESTION)
    swayed = swaying_runs(fits, table, recommendations)
    assert set(swayed) <= {(0, 0, 0)}
    sway = swayed[0, 0, 0]
    assert set(sway.runs) & bad
    without = fit(
        table.select(~np.isin(table.run_id.astype(str), sway.runs)),
        draws=0,
        starts=2,
        huber_delta=0.3,
    )
    assert sway.loss == pytest.approx(float(optimize(without, draws=0, **QUESTION).loss[0, 0, 0]))
    assert sway.given_up > 0.002 * sway.loss
    (record,) = worth_records(recommendations, swayed)
    assert record["hangs_on"] == list(sway.runs)
    for name in sway.runs:
        assert name in record["sway"]
    assert worth_records(recommendations)[0]["sway"] is None


def test_where_many_runs_agree_nothing_hangs_on_two(runs):
    many = dataclasses.replace(
        runs,
        loss=np.asarray(fit(runs, "chinchilla", draws=0).predict(runs.recipe)),
    )
    fits = fit(many, "chinchilla", draws=0)
    recommendations = optimize(fits, compute=1e12, target_tokens=65536, draws=0)
    assert swaying_runs(fits, many, recommendations) == {}
    other = jax.tree.map(lambda leaf: leaf, runs)
    with pytest.raises(M3Error, match="not the same"):
        swaying_runs(fits, other, recommendations)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"prior": "public"}, {"pool": "partial"}])
def test_the_fit_without_is_made_like_the_fit(how):
    """What changes is the runs: same prior, and the same languages beside it."""
    runs = RunTable.read(str(PILOT))
    runs = runs.select(np.isin(runs.language, ["French", "German"]))
    fits = fit(runs, draws=0, **how)
    recommendations = optimize(fits, draws=0, **QUESTION)
    for position, sway in swaying_runs(fits, runs, recommendations).items():
        language = recommendations.languages[position[0]]
        gone = (runs.language == language) & np.isin(runs.run_id.astype(str), sway.runs)
        delta = None if "pool" in how else float(fits.huber_delta[fits.index(language)])
        again = fit(runs.select(~gone), draws=0, huber_delta=delta, **how)
        best = optimize(again, draws=0, languages=[language], **QUESTION)
        assert sway.loss == pytest.approx(float(best.loss[0, 0, 0]), rel=1e-4)
