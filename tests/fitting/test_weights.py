"""Runs of weight 0 change nothing, and an objective is that of the coefficients beside it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, RunTable, diagnose, fit
from m3jax.fitting import huber

from .tables import frame


@pytest.fixture(scope="module")
def table():
    return run_table(true_theta(2, 4), 60, 0.005, 6)


def with_weightless(runs, every=7):
    """The runs and, behind them, some again without weight, far away and with wild losses."""
    counted = runs.to_frame()
    wild = counted.iloc[::every].assign(
        run_id=[f"wild{i}" for i in range(0, len(counted), every)],
        n_params=1e13,
        target_tokens=3e3,
        epochs=1e5,
        target_ratio=1e-4,
        final_ratio=1.0,
        first_ratio=0.0,
        total_tokens=3e12,
        loss=1e4,
        weight=0.0,
    )
    wild = wild[counted.columns]
    return RunTable.from_frame(pd.concat([counted, wild], ignore_index=True), source=runs.source)


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "host", "law": "chinchilla"},
        {"engine": "host", "draws": 4},
        pytest.param({"draws": 4}, marks=pytest.mark.slow),
        pytest.param({"pool": "partial", "draws": 4}, marks=pytest.mark.slow),
    ],
)
def test_runs_without_weight_change_nothing(table, options):
    odd, options = with_weightless(table), {"draws": 0, **options}
    with_them, without = fit(odd, **options), fit(table, **options)
    for name in ("theta", "draws", "frozen", "objective", "r2", "n_runs", "agreement",
                 "prior_mean", "prior_precision", "prior_weight"):  # fmt: skip
        np.testing.assert_array_equal(getattr(with_them, name), getattr(without, name), name)
    assert with_them.scopes == without.scopes
    assert with_them.messages == without.messages
    assert any("weight 0 left out" in note for note in with_them.settings["notes"])


def test_a_variable_that_only_weightless_runs_vary_does_not_vary():
    runs = RunTable.from_frame(frame("one size", 4, n_params=1e8))
    fits = fit(with_weightless(runs), "chinchilla", draws=0, engine="host")
    assert fits.scopes[0].ranges["n_params"] == (1e8, 1e8)
    assert "n_params" not in fits.scopes[0].varies


def test_a_diagnosis_sees_what_the_fit_saw(table):
    odd = with_weightless(table)
    options = {"law": "chinchilla", "draws": 0, "engine": "host"}
    ours = diagnose(fit(odd, **options), odd)
    theirs = diagnose(fit(table, **options), table)
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert (one.grade, one.verdicts) == (other.grade, other.verdicts)
        assert (one.n_runs, one.n_independent) == (other.n_runs, other.n_independent)
        assert (one.noise, one.runs) == (other.noise, other.runs)


def test_a_language_without_any_weight_is_refused(table):
    none = dataclasses.replace(
        table, weight=np.where(table.language == table.languages[1], 0.0, table.weight)
    )
    with pytest.raises(M3Error, match=f"'{table.languages[1]}': all its runs have weight 0"):
        fit(none, draws=0, engine="host")


def recomputed(fits, runs):
    """The objective of each language from its coefficients alone."""
    out = []
    for name in fits.languages:
        own = runs.for_language(name)
        residual = np.log(fits.predict(own.recipe, name)) - np.log(own.loss)
        out.append(np.sum(own.weight * huber(residual, fits.huber_delta[fits.index(name)], np)))
    return np.array(out)


def rescaled(runs, factor):
    """The same runs with model sizes in another unit."""
    recipe = dataclasses.replace(runs.recipe, n_params=np.asarray(runs.recipe.n_params) * factor)
    return dataclasses.replace(runs, recipe=recipe)


@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e-11])
@pytest.mark.parametrize("law", ["m3", "chinchilla"])
@pytest.mark.parametrize("engine", ["host", pytest.param("batch", marks=pytest.mark.slow)])
def test_the_objective_is_that_of_the_coefficients(table, law, factor, engine):
    runs = rescaled(table, factor)
    fits = fit(runs, law, draws=0, engine=engine)
    np.testing.assert_allclose(fits.objective, recomputed(fits, runs), rtol=1e-8, atol=1e-13)


@pytest.mark.slow
def test_the_objective_is_that_of_the_coefficients_where_some_are_frozen(full):
    runs, fits = full.runs, full.fits
    assert fits.frozen.any()
    np.testing.assert_allclose(fits.objective, recomputed(fits, runs), rtol=1e-8)
