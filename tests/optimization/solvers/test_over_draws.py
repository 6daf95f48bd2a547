"""Objectives over draws, against what JAX makes of their definitions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.optimization.solvers import Drawn

DRAWS, LANES = 7, 3
SMOOTHING = 1e-4


def log_loss(x, b):
    """Some smooth function of two variables, another one for each draw."""
    return 0.8 + 0.01 * b + jnp.sin(x[0] * (1 + 0.1 * b)) * 0.02 + 0.03 * x[0] * x[1] ** 2


def definition(objective, x):
    logs = jnp.stack([log_loss(x, b) for b in range(DRAWS)])
    if objective == "mean":
        return jnp.log(jnp.mean(jnp.exp(logs)))
    if objective == "mean_log":
        return jnp.mean(logs)
    if objective == "quantile":
        return jnp.quantile(logs, 0.9)
    regrets = jnp.exp(logs) - jnp.exp(0.5)
    return SMOOTHING * jax.nn.logsumexp(regrets / SMOOTHING)


@pytest.mark.parametrize("objective", ["mean", "mean_log", "quantile", "regret"])
def test_values_and_derivatives_are_those_of_the_definition(objective):
    with jax.enable_x64(True):
        points = np.random.default_rng(0).standard_normal((LANES, 2))
        each = [lambda x, b=b: log_loss(x, b) for b in range(DRAWS)]
        drawn = Drawn(
            np.array([[f(x) for x in points] for f in each]),
            np.moveaxis(np.array([[jax.grad(f)(x) for x in points] for f in each]), 1, -1),
            np.moveaxis(np.array([[jax.hessian(f)(x) for x in points] for f in each]), 1, -1),
        )
        found = drawn.combined(objective, 0.9, np.full((DRAWS, LANES), 0.5))
        for i, x in enumerate(points):
            function = partial(definition, objective)
            np.testing.assert_allclose(found.value[i], function(x), rtol=1e-10)
            np.testing.assert_allclose(found.gradient[:, i], jax.grad(function)(x), rtol=1e-8)
            hessian = jax.hessian(function)(x)
            np.testing.assert_allclose(found.hessian[..., i], hessian, rtol=1e-6, atol=1e-9)


def test_what_was_not_asked_for_is_not_there():
    value = np.arange(6.0).reshape(3, 2)
    for objective in ("mean", "mean_log", "quantile", "regret"):
        found = Drawn(value, None, None).combined(objective, 0.5, value)
        assert found.value.shape == (2,)
        assert found.gradient is None
        assert found.hessian is None
