"""Questions: lanes, other budgets and coefficients, and what solving them gives."""

import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import M3Error, optimize
from m3jax.fitting import Fits
from m3jax.optimization.question import ask
from m3jax.options import Limits
from m3jax.recipe import MONOLINGUAL, TWO_STAGE

from ..known_fits import fits_of

BUDGETS = {"compute": [1e19, 1e20], "target_tokens": 1e8}


def questions_of(fits, **limits):
    return ask(fits, Limits(**_recipes.BOUNDS, **limits), **BUDGETS)


@pytest.mark.slow
def test_lanes_budgets_and_coefficients_are_those_asked():
    fits = fits_of("m3", 2)
    questions = questions_of(fits)
    assert questions.shape == (2, 2, 1)
    assert len(questions) == 4
    solved = questions.solve()
    lanes = np.array([3, 0, 3])
    taken = questions.take(lanes)
    np.testing.assert_allclose(taken.solve().log_loss, solved.log_loss[:, lanes], rtol=1e-9)
    # The first budget of the second language, asked in three ways.
    expected = solved.log_loss[:, 2]
    other_budget = questions.take(np.array([3])).replace(compute=np.array([1e19]))
    other_language = questions.take(np.array([0])).under(fits.theta[1:])
    for same in (other_budget, other_language):
        np.testing.assert_allclose(same.solve().log_loss[:, 0], expected, rtol=1e-9)


def test_only_what_is_offered_is_solved():
    questions = questions_of(fits_of("m3", 2))
    single = np.zeros((3, 1), dtype=bool)
    single[MONOLINGUAL] = True
    log_loss = questions.offering(single).solve().log_loss
    assert np.isfinite(log_loss[MONOLINGUAL]).all()
    assert not np.isfinite(log_loss[MONOLINGUAL + 1 :]).any()
    assert np.isfinite(questions.solve(only=(TWO_STAGE,)).log_loss).any(axis=1).tolist() == [
        False,
        False,
        True,
    ]


def test_recipes_and_reasons():
    fits = fits_of("m3", 1)
    questions = ask(fits, Limits(**_recipes.BOUNDS), compute=[1e10, 1e20], target_tokens=1e8)
    solved = questions.solve()
    assert "compute: the least demanding" in questions.why_not(0, solved)
    by_optimize = optimize(fits, compute=1e20, target_tokens=1e8, **_recipes.BOUNDS)
    for regime in range(3):
        recipe = questions.recipes(solved, regime)
        expected = by_optimize.by_regime.n_params[0, 0, 0, regime]
        np.testing.assert_allclose(recipe.n_params[1], expected, rtol=1e-6)


def test_fits_to_source_text_may_be_a_file(tmp_path):
    fits = fits_of("m3", 2)
    path = fits.save(tmp_path / "source.json")
    questions = questions_of(fits, source_fits=path, max_source_loss=3.0)
    assert isinstance(questions.limits.source_fits, Fits)
    np.testing.assert_array_equal(questions.limits.source_fits.theta, fits.theta)
    alone = fits_of("m3", 1)
    with pytest.raises(M3Error, match="source_fits: no fit for language 'language0001'"):
        questions_of(fits, source_fits=alone, max_source_loss=3.0)
