"""A fit to first order."""

import numpy as np
import pytest

from m3jax.fitting.uncertainty import linearise


def test_leverage_adds_up_to_the_coefficients(simple):
    one = linearise(simple.fits, simple.runs, ["clean0"])[0]
    assert one.effective_parameters == 5
    assert one.leverage.sum() == pytest.approx(5, abs=0.1)
    assert np.all((one.leverage >= 0) & (one.leverage <= 1))
