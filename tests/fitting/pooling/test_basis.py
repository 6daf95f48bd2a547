"""The population, estimated from messages."""

import numpy as np
import pytest

from m3jax.fitting.pooling import LikelihoodMessages, PopulationBasis
from m3jax.laws import get_law


def test_evidence_finds_the_spread_of_languages():
    """Well-determined languages: the variances are the sample's, and the mean the sample's."""
    law = get_law("chinchilla")
    rng = np.random.default_rng(0)
    free, sd = np.ones(5, bool), np.array([1.0, 1.0, 0.3, 1.0, 0.3])
    basis = PopulationBasis.of(law, np.zeros(5), sd, free, "partial")
    x = 0.1 * sd * rng.standard_normal((200, 5)) + 0.2 * sd
    information = np.broadcast_to(1e6 * np.eye(5), (200, 5, 5))
    variance = basis.start()
    for _ in range(8):
        found = basis.estimate(LikelihoodMessages(information, 1e6 * x), variance)
        variance = found.variance
    assert found.mean == pytest.approx(x.mean(axis=0), abs=0.02)
    assert np.sqrt(variance[2]) == pytest.approx(0.03, rel=0.3)
    population = basis.describe(law, found, "partial", 200, 0.01)
    assert np.all(population.rho < 0.05)
    # A language told by nothing but the others expects what they say, and not to be one of them.
    assert found.prior_mean[0] == pytest.approx(found.mean, abs=0.02)
    assert np.all(np.linalg.eigvalsh(found.prior_cov) > 0)
