"""Where the best regime changes: bands thinner than the grid."""

import numpy as np
import pytest

from m3jax.optimization.regime_map import crossings
from m3jax.optimization.solvers import best_regime


def test_a_band_thinner_than_the_grid_is_found():
    def losses(row, x):
        return np.stack([0.1 - 0.02 * x, 0.05 - 0.01 * x - 1e-4 + 0 * row, 0 * x])

    sizes = np.array([0.0, 4.0, 8.0])
    grid = best_regime(losses(np.zeros(3), sizes))[None]
    assert grid.tolist() == [[2, 2, 0]]
    found = crossings(losses, grid, sizes)
    assert found.above.tolist() == [1, 0]
    assert found.below.tolist() == [2, 1]
    np.testing.assert_allclose(found.log_tokens, [4.99, 5.01], atol=1e-3)
    lift = np.array([[0.0], [1.0], [0.0]])
    no_third = crossings(lambda row, x: losses(row, x) + lift, grid, sizes)
    assert no_third.margin == pytest.approx(1.0, abs=1e-3)
    assert no_third.log_tokens == pytest.approx(5.0, abs=1e-5)
