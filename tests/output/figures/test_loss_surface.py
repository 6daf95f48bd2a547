"""The loss around a recommended recipe."""

import dataclasses

import numpy as np
import pytest

from m3jax import M3Error
from m3jax.output.figures import loss_surface

from ..cases import ODD, last_position, png_of


@pytest.mark.parametrize("language", [0, 1])
@pytest.mark.parametrize("with_runs", [False, True])
def test_loss_surface(case, language, with_runs):
    position = last_position(case.found, language)
    runs = case.runs if with_runs else None
    png_of(loss_surface(case.fits, case.found, position, runs=runs))


def test_loss_surface_passes_through_the_recommended_loss(case):
    # With the whole budget spent, N follows from k and r, and at the star it is the recipe's.
    recipe = case.found.at(*last_position(case.found))
    n_params = recipe.compute * recipe.target_ratio / (6 * recipe.epochs * recipe.target_tokens)
    assert n_params == pytest.approx(recipe.n_params, rel=1e-9)
    loss = case.fits.predict(recipe, ODD)
    assert loss == pytest.approx(case.found.loss[last_position(case.found)], rel=1e-9)


def test_loss_surface_of_an_infeasible_position_says_why(case):
    position = tuple(np.argwhere(~case.found.feasible)[0].tolist())
    with pytest.raises(M3Error, match="compute"):
        loss_surface(case.fits, case.found, position)


def test_loss_surface_without_draws(case):
    fits = dataclasses.replace(
        case.fits, draws=case.fits.draws[:, :0], bends=case.fits.bends[:, :0]
    )
    png_of(loss_surface(fits, case.undrawn, last_position(case.undrawn)))
