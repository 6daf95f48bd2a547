"""Bootstrap draws."""

import dataclasses

import numpy as np
import pytest

from m3jax import fit


@pytest.mark.slow
def test_checkpoints_of_a_run_are_drawn_together(synthetic):
    one = synthetic.for_language(synthetic.languages[0])
    few = dataclasses.replace(one, run_id=np.array([f"run{i // 4}" for i in range(len(one))]))
    apart, together = (fit(t, draws=60, starts=16) for t in (one, few))
    np.testing.assert_array_equal(apart.theta, together.theta)
    assert not np.array_equal(apart.draws, together.draws)
    assert np.all(np.isfinite(together.draws))
