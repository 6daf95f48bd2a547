"""Which runs a pilot does: spread within a budget, or from recipes."""

import collections
import dataclasses
import math

import numpy as np
import pytest

from m3jax import M3Error, Recipe
from m3jax.pilot import PilotDesign, Training, from_recipes, shapes, space_filling


def plan(budget=1e13, runs=60, **options):
    settings = {"target_windows": 5_000, "source_windows": 20_000, "seed": 0}
    return space_filling(
        "x",
        shapes(256),
        Training(),
        PilotDesign(),
        budget=budget,
        runs=runs,
        **(settings | options),
    )


def test_a_plan_fills_the_space_within_its_budget():
    trials = plan()
    design = PilotDesign()
    spent = sum(trial.compute for trial in trials)
    assert len(trials) == 60
    assert 0.75 * 1e13 < spent <= 1e13
    two = [trial for trial in trials if trial.first_steps]
    alone = [trial for trial in trials if trial.target_ratio == 1]
    assert 18 <= len(two) <= 30
    assert 5 <= len(alone) <= 13
    for trial in trials:
        assert trial.unique <= 5_000
        assert trial.source_windows <= 4 * 20_000
        assert 0.95 < trial.epochs < 66
        assert trial.target_tokens >= 8_000
        trial.recipe()
    for trial in two:
        fraction = 1 - trial.first_steps / trial.steps
        assert design.stage_fraction[0] - 0.01 <= fraction <= design.stage_fraction[1] + 0.01
    shares = {round(trial.first_ratio / trial.target_ratio, 1) for trial in two}
    assert shares == {0.0, 0.3, 0.6}
    assert len({trial.shape for trial in trials}) >= 3
    # Recipes done twice, for the noise, differ in the seed alone.
    recipes = collections.Counter(dataclasses.replace(trial, seed=0) for trial in trials)
    assert sum(count == 2 for count in recipes.values()) == 7
    assert len(set(trials)) == 60


def test_a_plan_can_be_added_to():
    small, large = plan(1e13, 60), plan(2e13, 120)
    assert large[: len(small)] == small
    assert plan(seed=1) != plan()


def test_a_short_text_limits_the_plan():
    trials = plan(target_windows=200, source_windows=3_000)
    assert all(trial.unique <= 200 and trial.source_windows <= 12_000 for trial in trials)
    with pytest.raises(M3Error, match="x: the texts are too short for runs of"):
        plan(target_windows=40, source_windows=1)


@pytest.mark.parametrize(("budget", "runs"), [(0, 10), (math.inf, 10), (1e13, 0), (math.nan, 5)])
def test_impossible_budgets_are_refused(budget, runs):
    with pytest.raises(M3Error, match="positive budget and number of runs"):
        plan(budget, runs)


def test_a_small_budget_has_as_many_runs_as_fit():
    few, many = plan(1e11, 100), plan(1e12, 100)
    assert 1 <= len(few) < len(many) <= 100
    assert sum(trial.compute for trial in few) <= 1e11
    with pytest.raises(M3Error, match="too small for a single run: expected at least") as caught:
        plan(1e9, 100)
    enough = float(str(caught.value).split("at least ")[1])
    assert len(plan(1.2 * enough, 100)) == 1


def test_recipes_become_runs_of_the_same_compute():
    recipes = Recipe.create(
        n_params=np.array([1e5, 4e4]), target_tokens=32_768.0, epochs=np.array([4.0, 8.0]),
        target_ratio=np.array([0.25, 1.0]), final_ratio=np.array([0.5, 1.0]),
    )  # fmt: skip
    trials = from_recipes("x", shapes(256), Training(), recipes, seeds=3)
    assert [trial.seed for trial in trials] == [0, 1, 2, 0, 1, 2]
    for trial, i in ((trials[0], 0), (trials[3], 1)):
        assert trial.compute == pytest.approx(float(recipes.compute[i]), rel=0.05)
        assert trial.target_tokens == 32_768
        assert trial.target_ratio == pytest.approx(float(recipes.target_ratio[i]), abs=0.01)
        assert trial.final_ratio == pytest.approx(float(recipes.final_ratio[i]), abs=0.01)
    assert trials[0].first_target == 0
    own = from_recipes("x", shapes(256), Training(), recipes, seeds=(5, 11))
    assert own == [dataclasses.replace(trials[i], seed=s) for i, s in ((0, 5), (3, 11))]


def test_a_final_stage_may_be_shorter_than_the_decay_where_a_recipe_says_so():
    recipe = Recipe.create(
        n_params=np.array([1.6e5]), target_tokens=25_600.0, epochs=np.array([4.0]),
        target_ratio=0.0975, final_ratio=1.0, first_ratio=0.05,
    )  # fmt: skip
    (trial,) = from_recipes("x", shapes(256), Training(), recipe, seeds=1)
    final = (trial.steps - trial.first_steps) / trial.steps
    assert final == pytest.approx(0.05, abs=0.002)
    assert final < Training().decay_fraction
    assert (trial.first_ratio, trial.final_ratio) == pytest.approx((0.05, 1.0), abs=0.005)
