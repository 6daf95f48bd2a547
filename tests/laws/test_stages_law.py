"""`m3_stages`, which sees the ratio before the final stage: its fit, diagnosis and recipes."""

import jax
import numpy as np
import pandas as pd
import pytest

from benchmarks.support.synthetic import draw_recipes, true_theta
from m3jax import RunTable, diagnose, fit, get_law, optimize
from m3jax.recipe import Recipe

PHI = -0.08


def runs_with(phi: float, *, one_share: bool = False) -> RunTable:
    """120 runs of one language, whose final stages follow shares of 0 to 0.6 of the ratio, or 0."""
    rng = np.random.default_rng(3)
    recipe = draw_recipes(120, rng)
    share = 0.0 if one_share else rng.choice([0.0, 0.3, 0.6], 120)
    first = np.where(recipe.is_two_stage, share * recipe.target_ratio, recipe.target_ratio)
    recipe = Recipe.create(**{**vars(recipe), "first_ratio": first})
    law = get_law("m3")
    with jax.enable_x64(True):
        truth = law.from_theta(true_theta(1, 5)[0]) | {"phi": phi}
        loss = np.asarray(get_law("m3_stages").loss(truth, recipe))
    loss = loss * np.exp(0.003 * rng.standard_normal(120))
    return RunTable.from_frame(pd.DataFrame({**vars(recipe), "loss": loss, "seed": range(120)}))


@pytest.fixture(scope="module")
def fits():
    return fit(runs_with(PHI), "m3_stages", draws=20)


@pytest.mark.slow
def test_the_effect_of_the_first_ratio_is_found(fits):
    (language,) = fits.languages
    assert fits.coefficients(language)["phi"] == pytest.approx(PHI, abs=0.02)
    plain = fit(runs_with(PHI), "m3", draws=0)
    assert fits.objective[0] < 0.7 * plain.objective[0]


@pytest.mark.slow
def test_where_it_does_not_vary_it_is_not_guessed():
    runs = runs_with(PHI, one_share=True)
    fits = fit(runs, "m3_stages", draws=0)
    (language,) = fits.languages
    assert fits.coefficients(language)["phi"] == 0
    words = "all two-stage runs have one share of the ratio before the final stage"
    assert any(words in message for message in fits.messages[0])
    (found,) = diagnose(fits, runs).values()
    assert any(f"{words}: the first ratio is not determined (phi)" in v for v in found.verdicts)


@pytest.mark.slow
def test_a_law_that_does_not_see_it_is_told_off():
    runs = runs_with(-0.3)
    (found,) = diagnose(fit(runs, "m3_posynomial", draws=0), runs).values()
    words = "law m3_posynomial knows nothing of that; take one that does"
    assert any("final-stage shares" in v and words in v for v in found.verdicts)
    (found,) = diagnose(fit(runs, "m3_stages", draws=0), runs).values()
    assert not any("knows nothing of that" in v for v in found.verdicts)


@pytest.mark.slow
def test_recipes_follow_the_first_ratio(fits):
    asked = {"compute": 1e19, "target_tokens": 1e7, "draws": 0}
    losses = []
    for share in (0.0, 0.3, 0.6):
        found = optimize(fits, first_share=share, **asked)
        two = float(found.by_regime_loss[0, 0, 0, 2])
        best = jax.tree.map(lambda leaf: leaf[0, 0, 0, 2], found.by_regime)
        assert best.first_ratio == pytest.approx(share * best.target_ratio)
        assert two == pytest.approx(float(fits.predict(best, fits.languages[0])), rel=1e-6)
        losses.append(two)
    # phi < 0: a shorter final stage after more target text before it is better.
    assert losses[0] > losses[1] > losses[2]
