"""What the runs determine."""

import numpy as np

from m3jax.fitting.problem import undetermined


def test_rank_is_found_column_by_column():
    rng = np.random.default_rng(2)
    jacobian = rng.standard_normal((2, 30, 5))
    jacobian[1, :, 2] = 0.0
    jacobian[1, :, 4] = jacobian[1, :, 0] - 2 * jacobian[1, :, 1]
    idle, redundant = undetermined(jacobian, np.ones((2, 5), dtype=bool))
    assert np.argwhere(idle).tolist() == [[1, 2]]
    assert np.argwhere(redundant).tolist() == [[1, 4]]
