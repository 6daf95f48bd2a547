"""Log losses and their Jacobian, against automatic differentiation."""

import jax
import numpy as np
import pytest

from m3jax import list_laws
from m3jax.fitting.engine import feature_matrix, log_loss_and_jacobian
from m3jax.laws import LogSpaceLaw, get_law

from ...conftest import mostly_slow
from .conftest import one_language


@pytest.mark.parametrize("name", mostly_slow(list_laws()))
@pytest.mark.parametrize("held", [False, True])
def test_the_jacobian_is_the_derivative(name, held, table):
    law = get_law(name)
    values = {"E": 1.7, "alpha": 0.3} if held else {}
    fixed = {name: value for name, value in values.items() if name in law.names}
    with jax.enable_x64(True):
        x, data = one_language(law, table, fixed)
        features = feature_matrix(law, data)
        assert (features is None) == (isinstance(law, LogSpaceLaw) and law.shapes is None)
        predicted, jacobian = log_loss_and_jacobian(law, x, data, features)

        def log_loss(x):
            return law.log_loss_theta(data.centre @ x, data.recipe)

        np.testing.assert_allclose(predicted, log_loss(x), atol=1e-12)
        np.testing.assert_allclose(jacobian.T, jax.jacfwd(log_loss)(x), atol=1e-9)
