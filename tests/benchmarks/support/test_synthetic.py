"""Made-up languages: the same for the same seed, noisy runs of the truth."""

import jax
import numpy as np
import pytest

from benchmarks.support.synthetic import TRUE_LAWS, draw_recipes, run_table, true_loss, true_theta
from m3jax.laws import get_law


def test_made_up_languages_are_the_same_for_the_same_seed():
    theta = true_theta(3, 1)
    assert theta.shape == (3, len(get_law("m3").names))
    np.testing.assert_array_equal(theta, true_theta(3, 1))
    assert not np.array_equal(theta, true_theta(3, 2))
    first, again = (run_table(theta, 20, 0.01, 4) for _ in range(2))
    np.testing.assert_array_equal(first.loss, again.loss)
    assert len(first.languages) == 3
    assert len(first) == 60


def test_without_noise_the_runs_are_the_truth():
    theta = true_theta(1, 1)
    runs = run_table(theta, 30, 0.0, 4)
    np.testing.assert_allclose(runs.loss, true_loss(theta[0], runs.recipe), rtol=1e-12)
    noisy = run_table(theta, 30, 0.05, 4)
    assert 0.01 < np.std(np.log(noisy.loss / runs.loss)) < 0.1


def test_made_up_runs_vary_in_everything():
    recipe = draw_recipes(200, np.random.default_rng(0))
    for name in ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio"):
        assert len(np.unique(getattr(recipe, name))) > 3
    assert 0.1 < np.mean(recipe.is_two_stage) < 0.6
    assert np.any(recipe.target_ratio == 1)


@pytest.mark.parametrize("law", TRUE_LAWS)
def test_a_simpler_law_is_the_truth_when_asked_for(law):
    theta = true_theta(2, 1, law)
    recipe = draw_recipes(40, np.random.default_rng(0))
    own = theta[0, : len(get_law(law).names)]
    with jax.enable_x64(True):
        expected = np.exp(get_law(law).log_loss_theta(own, recipe))
    np.testing.assert_allclose(true_loss(theta[0], recipe, law), expected, rtol=1e-12)
