"""Small linear systems, solved without LAPACK."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.fitting.engine import solve_spd


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_small_systems_are_solved(dtype):
    rng = np.random.default_rng(1)
    root = rng.standard_normal((3, 5, 7, 20)).astype(dtype)
    matrix, right = root @ root.swapaxes(-1, -2), rng.standard_normal((3, 5, 7)).astype(dtype)
    with jax.enable_x64(True):
        found = jax.vmap(jax.vmap(solve_spd))(matrix, right)
        # Only one of the two has the axis.
        shared = jax.vmap(solve_spd, in_axes=(None, 0))(matrix[0, 0], right[0])
    assert found.dtype == dtype
    expected = np.linalg.solve(matrix, right[..., None])[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-3 if dtype == np.float32 else 1e-10)
    np.testing.assert_allclose(
        shared, np.linalg.solve(matrix[0, 0], right[0].T).T, rtol=2e-3, atol=1e-5
    )


def test_an_indefinite_system_is_nan():
    assert np.all(np.isnan(solve_spd(jnp.diag(jnp.array([1.0, -1.0])), jnp.ones(2))))
