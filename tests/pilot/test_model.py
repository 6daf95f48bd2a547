"""The model: its size, and that it sees no future."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.pilot import Shape, init, shapes, token_losses

from .texts import TINY, random_bytes


def test_all_parameters_are_counted():
    for shape in (TINY, *shapes(256)[:3], Shape(3, 32, 1000)):
        leaves = jax.tree.leaves(jax.eval_shape(lambda s=shape: init(s, jax.random.key(0))))
        assert sum(leaf.size for leaf in leaves) == shape.n_params
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    sizes = [shape.n_params for shape in shapes(256)]
    steps = np.diff(np.log(sizes))
    assert np.exp(steps.min()) > 1.15
    assert np.exp(steps.max()) < 2.1
    assert all(shape.width % (2 * shape.head_size) in (0, shape.head_size) for shape in shapes(256))


def test_the_model_sees_no_future():
    params = init(Shape(2, 32), jax.random.key(0))
    windows = jnp.asarray(random_bytes(2 * 17).reshape(2, 17), jnp.int32)
    losses_of = jax.jit(lambda windows: token_losses(Shape(2, 32), params, windows))
    losses, changed = losses_of(windows), losses_of(windows.at[:, 10].set(0))
    assert losses.shape == (2, 16)
    assert losses.dtype == jnp.float32
    np.testing.assert_array_equal(losses[:, :9], changed[:, :9])
    assert np.all(np.abs(losses[:, 9:] - changed[:, 9:]) > 0)
    assert float(jnp.mean(losses)) == pytest.approx(math.log(256), abs=1.0)
