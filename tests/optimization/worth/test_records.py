"""What limits and other regimes are worth, as rows."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.support import recipes as _recipes
from m3jax import compute_gain, loss_given_up, optimize, sensitivities, worth_records
from m3jax.recipe import REGIMES, TWO_STAGE

from ..known_fits import fits_of


@pytest.mark.slow
def test_a_row_a_position_says_what_regimes_and_limits_are_worth():
    fits = fits_of("m3", 1)
    options = {"compute": [1e12, 1e20], "target_tokens": 3e7, **_recipes.BOUNDS}
    recommendations = optimize(fits, **options)
    none, row = worth_records(recommendations)
    assert none["regime"] is None
    assert none["prices"] == none["kinks"] == []
    assert "compute" in none["infeasible"]
    assert row["regime"] == REGIMES[recommendations.regime[0, 1, 0]]
    assert row["loss"] == recommendations.loss[0, 1, 0]
    assert row["prices"] == list(sensitivities(recommendations, 0, 1, 0).prices.values())
    assert row["lost_two_stage"] == loss_given_up(recommendations)[0, 1, 0, TWO_STAGE]
    gain = compute_gain(recommendations)[0, 1, 0]
    assert row["compute_gain_monolingual"] == (gain if np.isfinite(gain) else None)


@pytest.mark.slow
def test_prices_are_left_out_under_functions():
    recommendations = optimize(
        fits_of("m3", 1),
        compute=1e20,
        target_tokens=3e8,
        constraints=lambda recipe: jnp.log(recipe.epochs / 4.0),
        **_recipes.BOUNDS,
    )
    (row,) = worth_records(recommendations)
    assert row["prices"] == []
    assert row["loss"] is not None
