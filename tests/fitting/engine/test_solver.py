"""The compiled solver: its objective, and single precision against double."""

import jax
import numpy as np
import pytest

from m3jax.fitting.engine import evaluate, feature_matrix, misfit, residuals
from m3jax.laws import get_law

from .conftest import one_language


@pytest.mark.slow
def test_the_gradient_is_that_of_the_objective(table):
    law = get_law("m3")
    with jax.enable_x64(True):
        x, data = one_language(law, table)
        point = evaluate(law, x, data, feature_matrix(law, data))

        def objective(x):
            off = x - data.prior_mean
            prior = 0.5 * off @ data.prior_precision @ off
            return misfit(residuals(law, x, data), data) + data.prior_weight * prior

        np.testing.assert_allclose(point.value, objective(x), rtol=1e-12)
        np.testing.assert_allclose(point.gradient, jax.grad(objective)(x), rtol=1e-8, atol=1e-14)
