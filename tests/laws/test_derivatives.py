"""Derivatives of laws match differences, and are finite at every corner, in both precisions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.laws import get_law
from m3jax.recipe import Recipe

from .points import draw, each_built_in, each_law, recipes

pytestmark = pytest.mark.usefixtures("strict_promotion")

LEAVES = ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio", "first_ratio")

# N, D_T, k, r, r_f, r_1; the first five are smooth points of every law.
CORNERS = np.array(
    [
        (1e8, 1e8, 4.0, 0.25, 0.5, 0.0),
        (1e8, 1e9, 0.3, 0.5, 0.5, 0.5),
        (1e8, 1e9, 3.0, 1.0, 1.0, 1.0),
        (1e8, 1e9, 3.0, 1e-6, 1e-6, 1e-6),
        (1e8, 1e9, 3.0, 1e-6, 1.0, 0.0),
        (1e8, 1e6, 1e4, 0.5, 0.5, 0.5),
        (1e12, 1e9, 4.0, 0.5, 1.0, 0.0),
        (1e12, 1e3, 4.0, 0.5, 1.0, 0.2),
        (1e5, 1e13, 4.0, 1.0, 1.0, 1.0),
        (1e12, 1e13, 1e4, 0.5, 1.0, 0.0),
        (1e8, 1e3, 1e-3, 0.5, 1.0, 0.0),
        (1e8, 1e9, 1.0, 1.0, 1.0, 1.0),  # k = 1: the second derivative of rho jumps
        (1e8, 1e9, 1.0, 0.25, 0.5, 0.0),
    ]
)


SMOOTH = CORNERS[CORNERS[:, 2] != 1]

# At r = 1 the power of the source's share has no derivative.
SINGULAR_ALONE = ("additive_mixture",)

# Of one stage no ratio moves alone: the final stage would have a share of nothing.
SINGULAR_IN_ONE_STAGE = ("m3", "m3_stages", "m3_effective", "m3_no_repetition")


def smooth(law):
    """Corners around which the law is smooth."""
    if law.name in SINGULAR_IN_ONE_STAGE:
        return SMOOTH[SMOOTH[:, 3] < SMOOTH[:, 4]]
    return SMOOTH[SMOOTH[:, 3] < 1] if law.name in SINGULAR_ALONE else SMOOTH


def points(theta, corners=CORNERS):
    """Every coefficient vector at every corner, one row each: theta, then the recipe's leaves."""
    return np.array([np.concatenate([one, corner]) for one in theta for corner in corners])


def scale(law, z):
    """Unit of each entry of `points`: theta by itself, the recipe relative to its value."""
    size = len(law.coefficients)
    recipe = np.where(z[:, size:] == 0, 1.0, np.abs(z[:, size:]))
    return np.concatenate([np.ones((len(z), size)), recipe], axis=1)


def log_loss(law, z):
    size = len(law.coefficients)
    return law.log_loss_theta(z[:size], Recipe(*(z[size + i] for i in range(len(LEAVES)))))


@functools.cache
def compiled(law, order):
    function = functools.partial(log_loss, law)
    return jax.jit(jax.vmap((function, jax.grad(function), jax.hessian(function))[order]))


def derivative(law, order, z):
    """The log-loss or its first or second derivative at `points`, by one compiled batch size."""
    batch = 5 * len(CORNERS)
    padded = np.concatenate([z, np.repeat(z[-1:], -len(z) % batch, axis=0)])
    parts = [compiled(law, order)(part) for part in np.split(padded, len(padded) // batch)]
    return np.concatenate(parts)[: len(z)]


def scaled(law, order, z):
    """The derivative per unit of `scale`."""
    unit, value = scale(law, z), derivative(law, order, z)
    if order == 2:
        return value * unit[:, :, None] * unit[:, None, :]
    return value * unit if order else value


def differences(law, order, z, step=2e-4):
    """Derivative `order` of `scaled` by central differences of the one below it, fourth order."""
    unit = scale(law, z)
    columns = []
    for i in range(z.shape[1]):
        move = np.zeros_like(z)
        move[:, i] = step * unit[:, i]
        values = []
        for times in (-2, -1, 1, 2):
            slope = derivative(law, order - 1, z + times * move)
            values.append(slope * unit if order == 2 else slope)
        columns.append((8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * step))
    return np.stack(columns, axis=-1)


def assert_close(actual, expected, tolerance):
    """Closeness relative to each row's largest entry: derivatives differ by orders of magnitude."""
    flat, wanted = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (actual, expected))
    size = np.maximum(np.abs(wanted).max(axis=1, keepdims=True), 1e-3)
    np.testing.assert_allclose(flat / size, wanted / size, rtol=0, atol=tolerance)


def not_finite(values):
    """Rows with anything that is not finite."""
    return np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1)).tolist()


@pytest.mark.usefixtures("x64")
@each_law
def test_gradient_matches_differences(law):
    z = points(draw(law, 3), smooth(law))
    assert_close(scaled(law, 1, z), differences(law, 1, z), 1e-8)


@pytest.mark.usefixtures("x64")
@each_law
def test_hessian_matches_differences_of_the_gradient(law):
    z = points(draw(law, 3), smooth(law))
    assert_close(scaled(law, 2, z), differences(law, 2, z), 1e-7)


@pytest.mark.usefixtures("x64")
@each_law
def test_hessian_is_symmetric(law):
    hessian = scaled(law, 2, points(draw(law, 3)))
    assert_close(hessian, hessian.transpose(0, 2, 1), 1e-12)


@pytest.mark.usefixtures("x64")
@each_law
def test_hessian_agrees_with_reverse_mode_twice(law):
    z, slope = points(draw(law, 1), smooth(law)), jax.grad(functools.partial(log_loss, law))
    unit = scale(law, z)
    along = jax.jit(jax.vmap(jax.grad(lambda row, direction: slope(row) @ direction)))(z, unit)
    assert_close(np.asarray(along) * unit, scaled(law, 2, z).sum(axis=2), 1e-11)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("order", [0, 1])
@each_law
def test_compiled_and_batched_is_eager_and_single(law, order):
    z, function = points(draw(law, 1))[::3], functools.partial(log_loss, law)
    single = (function, jax.grad(function))[order]
    unit = scale(law, z) if order else 1
    eager = np.stack([single(row) for row in jnp.asarray(z)]) * unit
    np.testing.assert_allclose(scaled(law, order, z), eager, rtol=1e-11, atol=1e-13)


@pytest.mark.usefixtures("x64")
@each_law
def test_gradient_by_name_follows_from_theta(law):
    theta, corner = draw(law, 1)[0], CORNERS[0]
    coefficients = law.from_theta(jnp.asarray(theta))
    loss, slope = jax.value_and_grad(law.loss)(coefficients, Recipe(*corner))
    by_theta = loss * derivative(law, 1, points([theta], [corner]))[0, : len(theta)]
    for c, expected in zip(law.coefficients, by_theta, strict=True):
        chain = coefficients[c.name] if c.log else 1.0
        np.testing.assert_allclose(slope[c.name] * chain, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.usefixtures("x64")
@each_law
def test_loss_depends_on_its_variables_alone(law):
    through = {"total_tokens": {"target_tokens", "epochs", "target_ratio"}}
    named = set().union(*(through.get(variable, {variable}) for variable in law.variables))
    gradient = scaled(law, 1, points(draw(law, 1), CORNERS[:1]))[0, len(law.coefficients) :]
    assert {name for name, slope in zip(LEAVES, gradient, strict=True) if slope} == named


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("field", ["start", "bounds"])
@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@each_built_in
def test_finite_at_every_corner(law, wide, field, order):
    with jax.enable_x64(wide):
        values = derivative(law, order, points(draw(law, 40, field)))
    assert not_finite(values) == []


@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
@each_built_in
def test_gradient_is_finite_with_any_coefficient_frozen_at_neutral(law, wide):
    low, high = law.theta_start()
    theta = np.tile((low + high) / 2, (len(low), 1))
    np.fill_diagonal(theta, law.theta_neutral())
    with jax.enable_x64(wide):
        assert not_finite(derivative(law, 1, points(theta))) == []


@pytest.mark.parametrize(("order", "tolerance"), [(0, 1e-5), (1, 1e-5), (2, 1e-3)])
@each_law
def test_float32_agrees_with_float64(law, order, tolerance):
    narrow = points(draw(law, 5)).astype(np.float32)
    assert derivative(law, order, narrow).dtype == np.float32
    got = scaled(law, order, narrow)
    with jax.enable_x64(True):
        expected = scaled(law, order, narrow.astype(np.float64))
    if order == 0:  # a logarithm may be next to nothing
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance / 10)
    else:
        assert_close(got, expected, tolerance)


@each_law
def test_loss_stays_in_float32(law):
    coefficients = law.from_theta(jnp.asarray(draw(law, 1)[0], jnp.float32))
    loss = law.loss(coefficients, jax.tree.map(jnp.float32, recipes(20)))
    assert loss.dtype == jnp.float32


def around_one_epoch(law):
    """The gradient just below, at and just above one epoch."""
    sides = np.tile(CORNERS[CORNERS[:, 2] == 1], (3, 1, 1))
    sides[:, :, 2] += np.array([-1e-9, 0, 1e-9])[:, None]
    return [scaled(law, 1, points(draw(law, 5), side)) for side in sides]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["m3", "m3_posynomial", "chinchilla", "data_constrained"])
def test_gradient_at_one_epoch_is_that_of_more(name):
    """Below it more epochs are more text, and the slope is another."""
    _, at, above = around_one_epoch(get_law(name))
    assert_close(above, at, 1e-7)


@pytest.mark.usefixtures("x64")
def test_data_constrained_gradient_agrees_from_both_sides_of_the_model_it_can_feed():
    law = get_law("data_constrained")
    (published,) = law.published.values()
    best = (published["A"] / published["B"]) ** (1 / published["alpha"]) * 1e9  # N_opt of U = 1e9
    sides = np.tile([best, 1e9, 4.0, 1.0, 1.0, 1.0], (3, 1))
    sides[:, 0] *= [1 - 1e-9, 1, 1 + 1e-9]
    gradient = scaled(law, 1, points([law.to_theta(published)], sides))
    assert_close(gradient, gradient[[1, 1, 1]], 1e-7)
