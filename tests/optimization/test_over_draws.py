"""What draws whose losses bend beyond the runs make of a recommendation."""

import dataclasses

import numpy as np
import pytest

from m3jax import optimize

from .known_fits import fits_of

QUESTION = {"compute": 1e21, "target_tokens": 1e8}


@pytest.fixture(scope="module")
def fits():
    """Draws close to the fit, on runs that end well below what is asked about."""
    fits = fits_of("m3", 1, draws=30)
    low = np.log([1e6, 1e6, 1.0, 0.05, 1.0])
    high = np.log([1e8, 1e9, 8.0, 1.0, 4.0])
    return dataclasses.replace(fits, edges=np.stack([low, high])[None])


def bent(fits, scale, variable):
    bends = np.zeros_like(fits.bends)
    bends[..., variable] = scale * np.random.default_rng(3).standard_normal(bends.shape[:2])
    return dataclasses.replace(fits, bends=bends)


def test_bends_widen_losses_and_move_the_draws_recipes(fits):
    plain, wider = optimize(fits, **QUESTION), optimize(bent(fits, 0.1, 0), **QUESTION)
    at = (0, 0, 0)
    assert wider.recipe.n_params[at] == plain.recipe.n_params[at] > 1e8
    assert wider.loss[at] == plain.loss[at]
    assert wider.loss_high[at] - wider.loss_low[at] > plain.loss_high[at] - plain.loss_low[at]
    # Where larger models disappoint a draw takes a smaller one, of those the draws offer.
    assert wider.recipe_low.n_params[at] <= plain.recipe_low.n_params[at]
    assert wider.regret[at] > plain.regret[at] >= 0
    assert wider.regime_share[at].sum() == pytest.approx(1.0)


def test_bends_in_what_is_given_move_nothing_but_the_loss(fits):
    """All recipes of a question have its text, so that a bend in it is the same for all."""
    short = dataclasses.replace(fits, edges=fits.edges - [0.0, 5.0, 0.0, 0.0, 0.0])
    plain, wider = optimize(short, **QUESTION), optimize(bent(short, 0.1, 1), **QUESTION)
    for name in ("n_params", "epochs", "target_ratio"):
        for ends in ("recipe_low", "recipe_high"):
            one, other = (getattr(getattr(r, ends), name) for r in (plain, wider))
            np.testing.assert_allclose(one, other, rtol=0.02)
    assert np.all(wider.loss_high > plain.loss_high)


@pytest.mark.slow
def test_robust_recipes_see_the_bends(fits):
    """A draw in whose favour nothing beyond the runs speaks holds the recipe back."""
    bends = np.zeros_like(fits.bends)
    bends[..., 0] = 0.2  # larger models disappoint, in every draw
    wary = dataclasses.replace(fits, bends=bends)
    plain, held = (optimize(f, objective="mean", **QUESTION) for f in (fits, wary))
    assert held.recipe.n_params[0, 0, 0] < 0.8 * plain.recipe.n_params[0, 0, 0]
