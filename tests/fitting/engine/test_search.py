"""The search from many starts."""

import numpy as np
import pytest

from m3jax import fit


@pytest.mark.slow
def test_single_precision_meets_double(table):
    double = fit(table, draws=0)
    single = fit(table, draws=0, precision="float32")
    np.testing.assert_allclose(single.theta, double.theta, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(single.objective, double.objective, rtol=1e-4)
