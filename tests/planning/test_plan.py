"""Answers without any runs."""

import json
import math

import numpy as np
import pytest

from m3jax import M3Error, Recipe, optimize, plan
from m3jax.design import MOST_EPOCHS
from m3jax.planning import RULES

from ..conftest import is_finite

CASE = {"compute": 1e21, "target_tokens": 2e9, "max_source_tokens": 1e12}


@pytest.fixture(scope="module")
def answer():
    return plan(**CASE, language="Indonesian")


def one(recipe):
    return Recipe(*(np.array([leaf]) for leaf in vars(recipe).values()))


def test_the_answer_is_a_recipe_that_someone_would_train(answer):
    recipe = answer.recipe
    assert float(recipe.compute) == pytest.approx(1e21, rel=1e-6)
    assert 1e9 < recipe.n_params < 1.2e10
    assert 2 < recipe.epochs < 16
    assert 0.1 < recipe.target_ratio < 0.9
    assert (1 - recipe.target_ratio) * recipe.total_tokens < 1e12
    low, high = (getattr(answer.recommendations, f"recipe_{end}") for end in ("low", "high"))
    for name in ("n_params", "epochs", "target_ratio"):
        assert getattr(low, name).item() < getattr(recipe, name) < getattr(high, name).item()


def test_it_is_best_on_average_over_the_draws(answer):
    def expected(recipe):
        return np.log(answer.fits.predict_draws(one(recipe))[:100, 0]).mean()

    best = expected(answer.recipe)
    for objective in ("point", "quantile"):
        other = optimize(answer.fits, objective=objective, draws=100, epochs=(1, 40), **CASE)
        assert best <= expected(other.at(0, 0, 0)) + 1e-9


def test_what_a_language_is_called_does_not_matter(answer):
    other = plan(**CASE, language="Xhosa")
    assert vars(other.recipe) == vars(answer.recipe)
    assert other.language == "Xhosa"


def test_rules_of_thumb_stand_beside_it(answer):
    by_name = {rule.name: rule for rule in answer.rules}
    assert set(RULES) <= set(by_name)
    chosen = np.log(answer.fits.predict_draws(one(answer.recipe))[:, 0]).mean()
    for rule in answer.rules:
        assert rule.more_low < rule.more_high
        losses = answer.fits.predict_draws(one(rule.recipe))[:, 0]
        assert np.log(losses).mean() > chosen
        assert rule.loss == pytest.approx(losses.mean())
        assert float(rule.recipe.compute) == pytest.approx(1e21, rel=1e-6)
    assert by_name["four epochs"].recipe.epochs == pytest.approx(4.0)
    assert by_name["target language alone"].recipe.target_ratio == 1
    natural = by_name["natural mix"].recipe
    assert natural.target_ratio == pytest.approx(2e9 / (2e9 + 1e12))


def test_a_rule_that_says_nothing_says_why():
    few = plan(compute=1e21, target_tokens=2e9, max_source_tokens=1e9, draws=60)
    why = {rule.name: rule.why for rule in few.rules if rule.recipe is None}
    assert why["four epochs"] == "needs more source tokens than there are"
    unlimited = plan(compute=1e21, target_tokens=2e9, draws=60)
    why = {rule.name: rule.why for rule in unlimited.rules if rule.recipe is None}
    assert why["natural mix"] == "needs the source tokens at hand"
    assert is_finite(few.to_dict())


def test_runs_are_worth_more_the_more_there_are(answer):
    now, *after = [answer.prospects[0].regret_now, *(p.regret_after for p in answer.prospects)]
    assert now > after[0] >= after[1] >= after[2] > 0
    assert [p.budget for p in answer.prospects] == pytest.approx([1e18, 5e18, 2e19])
    assert "--source-tokens 1e+12 --share 0.005" in answer.design_command()


def test_it_says_what_it_rests_on_and_how_far_beyond_that_it_is(answer):
    content = answer.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    names = [table["name"] for table in content["evidence"]["tables"]]
    assert names == ["Muennighoff", "Chinchilla", "Wikipedia", "domains", "tiny", "pilot"]
    grounds = " ".join(answer.grounds)
    assert "repeated text: seen up to" in grounds
    if answer.recipe.final_ratio > answer.recipe.target_ratio * 1.001:
        assert "two stages: seen up to 1.55e+12 FLOP" in grounds
    assert "its recipe rests on public run tables: no runs of its own" in content["notes"]


def test_limits_hold_and_far_questions_are_told():
    limited = plan(
        compute=1e21, target_tokens=2e9, ladder=[1e9, 3e9], epochs=(1, 4), draws=60
    ).recipe
    assert round(limited.n_params) in (10**9, 3 * 10**9)
    assert limited.epochs <= 4 * (1 + 1e-9)
    far = plan(compute=1e25, target_tokens=1e13, draws=60)
    assert far.recommendations.records()[0]["extrapolation"] != "none"
    assert any("times that compute" in ground for ground in far.grounds)
    with pytest.raises(M3Error, match="compute: expected a positive finite number"):
        plan(compute=-1, target_tokens=2e9)
    with pytest.raises(M3Error, match="lies 618× above"):
        plan(compute=1e15, target_tokens=2e9, n_params=(1e13, 2e13))


@pytest.mark.slow
def test_more_compute_and_more_text_never_hurt():
    """The expected log loss over twenty questions, none of them NaN."""
    grid = np.array(
        [
            [
                _expected(plan(compute=c, target_tokens=t, max_source_tokens=1e12))
                for t in (1e7, 1e8, 1e9, 1e11)
            ]
            for c in (1e18, 1e19, 1e20, 1e21, 1e23)
        ]
    )
    assert np.all(np.isfinite(grid))
    assert np.all(np.diff(grid, axis=0) <= 1e-6)
    assert np.all(np.diff(grid, axis=1) <= 1e-6)


def _expected(answer):
    assert answer.recipe.epochs <= MOST_EPOCHS * (1 + 1e-9)
    assert is_finite(answer.to_dict())
    return math.fsum(np.log(answer.fits.predict_draws(one(answer.recipe))[:, 0])) / 100
