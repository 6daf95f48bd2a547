"""What languages are fitted with."""

import numpy as np
import pytest

from m3jax.fitting.pooling import expected_huber


def test_expected_huber_is_the_mean_of_the_huber_loss():
    z = np.random.default_rng(0).standard_normal(400_000)
    for sd, delta in ((1e-4, 1e-3), (1e-3, 1e-3), (2e-2, 1e-3)):
        e = np.abs(sd * z)
        loss = np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))
        assert expected_huber(np.array([sd]), np.array([delta]))[0] == pytest.approx(
            loss.mean(), rel=0.01
        )
