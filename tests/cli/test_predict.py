"""`m3jax predict`."""

import dataclasses

import numpy as np
import pytest

from m3jax import Fits, Recipe, get_law

from ..conftest import ok
from .conftest import LANGUAGES

PREDICT = ("predict", "fits.json", "--target-tokens", "100M", "--epochs", "4")


def test_predict_gives_what_the_fits_give(here):
    values = ("--n-params", "10M,0.1B, 1e9", "--target-ratio", "0.25", "--final-ratio", "0.5")
    rows = ok(*PREDICT, *values, "--json").json
    assert [(row["language"], row["n_params"]) for row in rows] == [
        (name, n) for name in LANGUAGES for n in (1e7, 1e8, 1e9)
    ]
    fits = Fits.load("fits.json")
    recipe = Recipe.create(
        n_params=np.array([1e7, 1e8, 1e9]),
        target_tokens=1e8,
        epochs=4.0,
        target_ratio=0.25,
        final_ratio=0.5,
    )
    expected = np.concatenate([fits.predict(recipe, name) for name in LANGUAGES])
    ends = [fits.loss_interval(recipe, name) for name in LANGUAGES]
    low, high = np.concatenate(ends, axis=1)
    ends = [fits.loss_interval(recipe, name, of_run=True) for name in LANGUAGES]
    run_low, run_high = np.concatenate(ends, axis=1)
    assert [row["loss"] for row in rows] == pytest.approx(expected)
    assert [row["loss_low"] for row in rows] == pytest.approx(low)
    assert [row["loss_high"] for row in rows] == pytest.approx(high)
    assert [row["run_low"] for row in rows] == pytest.approx(run_low)
    assert [row["run_high"] for row in rows] == pytest.approx(run_high)
    assert np.all((run_low < low) & (high < run_high))
    assert {(row["target_tokens"], row["epochs"], row["first_ratio"]) for row in rows} == {
        (1e8, 4.0, 0.0)
    }
    assert rows[0]["compute"] == pytest.approx(6 * 1e7 * 4e8 / 0.25)


def test_predict_prints_a_row_a_recipe(here):
    result = ok(*PREDICT, "--n-params", "10M,20M", "--language", LANGUAGES[1])
    assert result.err == ""
    assert LANGUAGES[0] not in result.out
    assert result.out.count(LANGUAGES[1]) == 2
    assert "10.0M" in result.out
    assert "100M" in result.out


def test_predict_without_draws_has_no_intervals(here):
    ok("fit", "runs.csv", "--law", "chinchilla", "--starts", 2, "--draws", 0, "-o", "point.json")
    arguments = (PREDICT[0], "point.json", *PREDICT[2:], "--n-params", "10M")
    for row in ok(*arguments, "--json").json:
        assert row["loss_low"] is row["loss_high"] is None
    assert "–" in ok(*arguments).out


def test_predict_takes_the_ratio_before_the_final_stage(here):
    """`m3_stages` sees it: with r and r_f held, another r_1 is another final stage."""
    fits = Fits.load("fits.json")
    law = get_law("m3_stages")
    theta = np.array([[1.0] * len(law.names)] * len(fits.languages))
    staged = dataclasses.replace(
        fits,
        law=law,
        theta=theta,
        draws=theta[:, None][:, :0],
        bends=fits.bends[:, :0],
        frozen=np.zeros(theta.shape, dtype=bool),
        prior_mean=theta,
        prior_precision=np.zeros((*theta.shape, theta.shape[1])),
    )
    staged.save("staged.json")
    two = ("predict", "staged.json", *PREDICT[2:], "--n-params", "10M")
    two += ("--target-ratio", 0.3, "--final-ratio", 0.9)
    (first, _) = ok(*two, "--json").json
    (later, _) = ok(*two, "--first-ratio", 0.1, "--json").json
    assert (first["first_ratio"], later["first_ratio"]) == (0.0, 0.1)
    assert first["loss"] != later["loss"]
