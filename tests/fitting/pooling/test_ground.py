"""The ground of pooled languages: what all their runs cover, and no more than that."""

import dataclasses

import numpy as np
import pytest

from benchmarks.studies.pooling import few_runs
from benchmarks.support.synthetic import true_theta
from m3jax import Fits, Recipe, fit, optimize
from m3jax.fitting.pooling import pooled_scopes
from m3jax.fitting.problem import Scope


def scope(**variables):
    two = {"n_params": [1e8, 1e8], "target_tokens": [1e8, 1e8], "epochs": [1.0, 1.0]}
    return Scope.of(Recipe.create(**(two | variables)))


def test_what_some_language_varies_ranges_as_far_as_in_any():
    one = scope(n_params=[1e7, 1e8], epochs=[1.0, 4.0])
    other = scope(n_params=[3e8, 3e8], epochs=[2.0, 20.8], target_ratio=[0.2, 0.5])
    for each in pooled_scopes([one, other]):
        assert each.ranges["n_params"] == (1e7, 3e8)
        assert each.ranges["epochs"] == (1.0, 20.8)
        assert each.ranges["target_ratio"] == (0.2, 1.0)
        assert each.ranges["final_ratio"] == (0.2, 1.0)
        assert each.varies == one.varies | other.varies
        assert each.ranges["compute"][1] == other.ranges["compute"][1]
        assert each.words == "the pooled runs"


def test_what_no_language_varies_stays_what_each_has_run():
    small, large = scope(n_params=[1e7, 1e7]), scope(n_params=[1e9, 1e9])
    pooled = pooled_scopes([small, large])
    assert [each.ranges["n_params"] for each in pooled] == [(1e7, 1e7), (1e9, 1e9)]
    assert not {"n_params", "epochs"} & pooled[0].varies


def test_stages_of_some_are_stages_of_all():
    final = {"target_ratio": [0.2, 0.3], "final_ratio": [0.2, 0.9], "first_ratio": [0.2, 0.06]}
    one, other = scope(**final), scope(target_ratio=[0.1, 0.3])
    mine, theirs = pooled_scopes([one, other])
    assert theirs.ranges["stage_fraction"] == mine.ranges["stage_fraction"]
    assert theirs.first_share == mine.first_share == pytest.approx(0.2)
    assert "final_ratio" in theirs.varies
    assert theirs.ranges["final_ratio"] == (0.1, 0.9)


def test_one_language_is_its_own_ground():
    own = scope(epochs=[1.0, 3.0])
    (pooled,) = pooled_scopes([own])
    assert pooled == own
    assert pooled.words == "the runs"


@pytest.mark.slow
def test_recipes_of_pooled_languages_rest_on_the_pooled_table(few, partial, tmp_path):
    epochs = np.asarray(few.recipe.epochs)
    own = {name: epochs[few.language == name].max() for name in few.languages}
    least = min(own, key=own.get)
    asked = {"compute": 1e21, "target_tokens": 1e8, "languages": [least], "draws": 20}
    pooled = optimize(partial, **asked)
    fenced = optimize(dataclasses.replace(partial, population=None), **asked)
    assert fenced.recipe.epochs.item() <= own[least] * 1.001
    assert pooled.recipe_high.epochs.item() > own[least] * 1.1
    assert pooled.recipe_high.epochs.item() <= epochs.max() * 1.001
    ground, few_own = pooled.notes[0][:2]
    assert ground.startswith(f"ground: the pooled table of {len(few.languages)} languages (n_par")
    assert "rests on the population of all languages" in few_own
    assert not any("ground" in note for note in fenced.notes[0])
    far = optimize(partial, **asked | {"compute": 1e23, "target_tokens": 1e10})
    outside = far.outside[0, 0, 0]
    assert outside
    assert all(sentence.endswith("the pooled runs") for sentence in outside)
    # Languages with runs enough of their own are told the ground alone.
    assert len(partial.ground_notes(0)) == 1
    loaded = Fits.load(partial.save(tmp_path / "fits.json"))
    assert loaded.grounds == partial.grounds


@pytest.mark.slow
def test_alone_the_ground_is_the_runs():
    runs = few_runs(true_theta(2, 1), np.array([40, 40]), 0.01, 2)
    fits = fit(runs, draws=0)
    assert fits.grounds == fits.scopes
    assert fits.ground_notes(0) == ()
