"""Centring of laws in log space."""

import jax
import numpy as np
import pytest

from m3jax.laws import LogSpaceLaw, get_law
from m3jax.recipe import Recipe

from ..conftest import mostly_slow
from .points import BUILT_IN, SQUARE_ROOT, draw, recipes

pytestmark = pytest.mark.usefixtures("strict_promotion")

LOG_SPACE = [law for law in BUILT_IN if isinstance(law, LogSpaceLaw)]


each_log_space = pytest.mark.parametrize("law", mostly_slow(LOG_SPACE))


def grid():
    sizes, tokens = np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6))
    return Recipe.create(n_params=sizes.ravel(), target_tokens=tokens.ravel(), epochs=1.0)


@pytest.mark.usefixtures("x64")
@each_log_space
def test_centring_is_a_unit_shear(law):
    shear = law.centre(recipes(40)) - np.eye(len(law.coefficients))
    np.testing.assert_array_equal(shear @ shear, 0)  # nilpotent: unit triangular up to ordering
    rows = {law.names[i] for i in np.flatnonzero(shear.any(axis=1))}
    assert rows <= set(law.terms)


@pytest.mark.usefixtures("x64")
@each_log_space
def test_centred_coefficients_give_the_same_law(law):
    runs = recipes(40)
    matrix, theta = law.centre(runs), draw(law, 1)[0]
    centred = np.linalg.solve(matrix, theta)
    np.testing.assert_allclose(
        law.log_loss_theta(matrix @ centred, runs), law.log_loss_theta(theta, runs), atol=1e-12
    )


@pytest.mark.usefixtures("x64")
def test_centred_amplitudes_are_quoted_at_the_middle_of_the_runs():
    law, runs = get_law("chinchilla"), grid()
    theta = draw(law, 1)[0]
    centred = np.linalg.solve(law.centre(runs), theta)
    c = law.from_theta(theta)
    size, tokens = (np.exp(np.log(v).mean()) for v in (runs.n_params, runs.total_tokens))
    expected = [c["E"], c["A"] * size ** -c["alpha"], c["B"] * tokens ** -c["beta"]]
    amplitudes = [centred[law.names.index(name)] for name in "EAB"]
    np.testing.assert_allclose(np.exp(amplitudes), expected, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_centring_conditions_the_fit():
    law, runs = get_law("chinchilla"), grid()
    (published,) = law.published.values()
    jacobian = np.asarray(jax.jacfwd(law.log_loss_theta)(law.to_theta(published), runs))
    centred = jacobian @ law.centre(runs)
    assert np.linalg.cond(jacobian) > 10 * np.linalg.cond(centred)


def test_a_plain_law_has_no_centring():
    assert SQUARE_ROOT.centre(recipes(5)) is None
