"""Functions traced by JAX and run by NumPy: the same numbers, nothing compiled, or a refusal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax import get_law, list_laws
from m3jax.computing import Compiled, Elementwise, NotElementwise, pointwise
from m3jax.recipe import Recipe


def points(law, count, rng):
    """Coefficients within their start ranges (count, p), and recipes, some of every kind."""
    theta = rng.uniform(*law.theta_start(), (count, len(law.names)))
    ratio = np.where(rng.random(count) < 0.2, 1.0, rng.uniform(0.02, 1.0, count))
    final = np.where(rng.random(count) < 0.5, ratio, rng.uniform(ratio, 1.0))
    recipe = Recipe.create(
        n_params=10 ** rng.uniform(5, 10, count),
        target_tokens=10 ** rng.uniform(6, 11, count),
        epochs=10 ** rng.uniform(-1, 2, count),
        target_ratio=ratio,
        final_ratio=final,
    )
    return theta, recipe


@pytest.mark.parametrize("name", list_laws())
def test_laws_and_their_slopes_are_as_jax_computes_them(name):
    law, rng = get_law(name), np.random.default_rng(1)
    theta, recipe = points(law, 300, rng)

    def log_loss(theta, recipe):
        return law.log_loss_of(dict(zip(law.names, theta, strict=True)), recipe)

    columns = list(theta.T)
    run = Elementwise(jax.value_and_grad(log_loss), columns, recipe)
    value, slopes = run(columns, recipe)
    with jax.enable_x64(True):
        expected = map(np.asarray, jax.vmap(jax.value_and_grad(law.log_loss_theta))(theta, recipe))
    expected, expected_slopes = expected
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-13)
    size = np.abs(expected_slopes).max(axis=1, keepdims=True)
    np.testing.assert_allclose(np.stack(slopes, -1) / size, expected_slopes / size, atol=1e-12)


def test_what_the_last_argument_decides_is_computed_once():
    run = Elementwise(lambda x, y: jnp.exp(y) * x + jnp.log1p(y), 0.0, 0.0)
    y = np.linspace(0.0, 2.0, 5)
    prepared = run.prepared(y)
    assert len(prepared) == 2
    for x in (1.0, np.arange(5.0), np.arange(3.0)[:, None]):
        expected = np.exp(y) * x + np.log1p(y)
        np.testing.assert_allclose(run.finished([x], prepared), expected, rtol=1e-15)
        np.testing.assert_allclose(run(x, y), expected, rtol=1e-15)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.where(x > 1, x**2, jnp.minimum(x, 0.5)),
        lambda x: jnp.logaddexp(x, 2.0) + jnp.clip(x, 0.2, 1.5) ** -3,
        lambda x: jax.nn.sigmoid(x) * jax.nn.softplus(x) + jax.nn.relu(x - 1),
        lambda x: jnp.sqrt(x) + x**0.3 + jnp.abs(x - 1) + jnp.sign(x - 1) * (x > 0.7),
        lambda x: jax.lax.rsqrt(x) + jnp.cbrt(x) + jnp.tanh(x) + jnp.exp2(x) + jnp.sinh(x),
        lambda x: jnp.where((x > 0.4) & ~(x > 1) | jnp.isinf(x), x, -x),
        lambda x: 1.0 + 0.0 * x,
        lambda x: {"of": (x, 3.0), "more": [x * x]},
    ],
)
def test_any_elementwise_function(function):
    x = np.linspace(0.1, 3.0, 41)
    found = Elementwise(function, 0.0)(x)
    with jax.enable_x64(True):
        expected = jax.vmap(function)(x)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.broadcast_to(one, x.shape), other, rtol=1e-13)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.sum(jnp.stack([x, x])),
        lambda x: jax.lax.fori_loop(0, 3, lambda i, y: y * x, x),
        lambda x: jax.lax.cond(x > 0, lambda y: y, lambda y: -y, x),
        lambda x: x * jnp.asarray([1.0, 2.0])[0],
        lambda x: x.astype("int32") + 1,
        lambda x: jax.lax.lgamma(x),
    ],
)
def test_what_is_not_elementwise_is_refused(function):
    with pytest.raises(NotElementwise):
        Elementwise(function, 0.0)


def test_what_is_not_elementwise_is_compiled_for_points_of_any_shape():
    def power(x, given):
        return {"of": jax.lax.fori_loop(0, 3, lambda i, y: y * x, given["y"]), "x": x}

    run = pointwise(power, 0.0, {"y": 0.0})
    assert isinstance(run, Compiled)
    x, y = np.linspace(0.5, 2.0, 301)[:, None], np.arange(1.0, 12.0)
    for rows in (1, 20, 301):
        found = run(x[:rows], {"y": y})
        np.testing.assert_allclose(found["of"], x[:rows] ** 3 * y, rtol=1e-14)
        np.testing.assert_array_equal(found["x"], np.broadcast_to(x[:rows], (rows, 11)))
        prepared = run.prepared({"y": y})
        np.testing.assert_array_equal(run.finished([x[:rows]], prepared)["of"], found["of"])


def test_arguments_of_another_structure_are_refused():
    run = Elementwise(lambda x, y: x[0] + x[1] * y, [0.0, 0.0], 0.0)
    with pytest.raises(ValueError, match="mismatch"):
        run([1.0], 2.0)
