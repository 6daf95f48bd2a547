"""The laws: their values, limits and derivatives, and the registry that holds them."""

import dataclasses
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax import M3Error, laws
from m3jax.laws import Coefficient, Law, LogSpaceLaw, get_law, list_laws, register_law
from m3jax.laws.m3 import log_repetition
from m3jax.recipe import Recipe

from ..conftest import mostly_slow

# A user's law, as the documentation would have it written.
SQUARE_ROOT = Law(
    name="square_root",
    coefficients=(
        Coefficient("floor", (0.5, 3.0), (1e-3, 10.0), log=True, neutral=1.0),
        Coefficient("size", (1e2, 1e4), (1e-3, 1e6), log=True, neutral=1e-3),
        Coefficient("slope", (-0.1, 0.1), (-1.0, 1.0), needs=("target_ratio",)),
    ),
    function=lambda c, recipe: (
        (c["floor"] + c["size"] / recipe.total_tokens**0.5) * recipe.target_ratio ** c["slope"]
    ),
    variables=("total_tokens", "target_ratio"),
)

BUILT_IN = [get_law(name) for name in list_laws()]
LOG_SPACE = [law for law in BUILT_IN if isinstance(law, LogSpaceLaw)]
each_law = pytest.mark.parametrize("law", mostly_slow([*BUILT_IN, SQUARE_ROOT]))
each_built_in = pytest.mark.parametrize("law", mostly_slow(BUILT_IN))
each_log_space = pytest.mark.parametrize("law", mostly_slow(LOG_SPACE))

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
SINGULAR_IN_ONE_STAGE = ("m3_stages",)


def smooth(law):
    """Corners around which the law is smooth."""
    if law.name in SINGULAR_IN_ONE_STAGE:
        return SMOOTH[SMOOTH[:, 3] < SMOOTH[:, 4]]
    return SMOOTH[SMOOTH[:, 3] < 1] if law.name in SINGULAR_ALONE else SMOOTH


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(laws, "_REGISTRY", dict(laws._REGISTRY))


def draw(law, size, field="start"):
    """Coefficient vectors, (size, p), uniform over the range of starts (or within the bounds)."""
    low, high = getattr(law, f"theta_{field}")()
    return np.random.default_rng(7).uniform(low, high, (size, len(low)))


def recipes(size, seed=3):
    rng = np.random.default_rng(seed)
    ratio = 10 ** rng.uniform(-6, 0, size)
    return Recipe.create(
        n_params=10 ** rng.uniform(5, 12, size),
        target_tokens=10 ** rng.uniform(3, 13, size),
        epochs=10 ** rng.uniform(-1, 4, size),
        target_ratio=ratio,
        final_ratio=ratio ** rng.uniform(0, 1, size),
        first_ratio=ratio * rng.uniform(0, 0.9, size),
    )


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


# Values


def base(c, n, d):
    return c["E"] + c["A"] * n ** -c["alpha"] + c["B"] * d ** -c["beta"]


def chinchilla(c, n, t, k, r, rf):
    return base(c, n, k * t / r)


def m3(c, n, t, k, r, rf):
    first = base(c, n, k * t / r) * r ** -c["gamma"] * rf ** -c["eta"]
    source = k * t * (1 - r) / r
    rho = np.where(k <= 1, k, 1 - c["R"] * np.expm1(-(k - 1) / c["R"]))
    text = (t + c["tau"] * source) ** -c["omega"]
    return first + c["P"] * rho ** c["delta"] * n ** c["kappa"] * text * rf ** c["theta"]


def m3_stages(c, n, t, k, r, rf, r1):
    first = base(c, n, k * t / r) * r ** -c["gamma"] * rf ** -c["eta"]
    share = (r - r1) / (rf - r1)
    return m3(c, n, t, k, r, rf) + first * (share ** -c["phi"] - 1)


def m3_posynomial(c, n, t, k, r, rf):
    first = base(c, n, k * t / r) * r ** -c["gamma"] * rf ** -c["eta"]
    second = c["P"] * k ** c["delta"] * n ** c["kappa"] * t ** -c["omega"]
    return first + second * r ** c["zeta"] * rf ** c["theta"]


def data_constrained(c, n, t, k, r, rf):
    unique = t * np.minimum(k, 1)
    g = (c["alpha"] * c["A"] / (c["beta"] * c["B"])) ** (1 / (c["alpha"] + c["beta"]))
    needed = np.minimum(n, g * (unique * g) ** (c["beta"] / c["alpha"]))
    repeats, excess = np.maximum(k - 1, 0), n / needed - 1
    data = unique * (1 - c["R_D"] * np.expm1(-repeats / c["R_D"]))
    model = needed * (1 - c["R_N"] * np.expm1(-excess / c["R_N"]))
    return base(c, model, data)


def m3_one_stage(c, n, t, k, r, rf):
    return m3({**c, "eta": 0.0, "theta": 0.0}, n, t, k, r, rf)


def m3_no_repetition(c, n, t, k, r, rf):
    return base(c, n, k * t / r) * r ** -c["gamma"] * rf ** -c["eta"]


def kaplan(c, n, t, k, r, rf):
    of_size, of_data = c["A"] * n ** -c["alpha"], c["B"] * (k * t / r) ** -c["beta"]
    return (of_size ** (1 / c["beta"]) + of_data ** (1 / c["beta"])) ** c["beta"]


def chinchilla_tied(c, n, t, k, r, rf):
    return base({**c, "beta": c["alpha"]}, n, k * t / r)


def overfit_penalty(c, n, t, k, r, rf):
    repeats, unique = np.maximum(k - 1, 0), t * np.minimum(k, 1)
    return base(c, n, k * t / r) + c["P"] * repeats ** c["delta"] * (n / unique) ** c["kappa"]


def bounded(c, n, t, k, r, rf):
    h = c["a"] * n ** -c["alpha"] + c["b"] * (k * t / r) ** -c["beta"]
    h = h + c["c"] * n ** c["gamma"] / t ** c["delta"]
    return c["E"] + (c["L0"] - c["E"]) * h / (1 + h)


def multilingual(c, n, t, k, r, rf):
    return base(c, n, k * t / r) * r ** -c["gamma"]


def saturated(k, scale):
    return np.where(k <= 1, k, 1 - scale * np.expm1(-(k - 1) / scale))


def adaptive_transfer(c, n, t, k, r, rf):
    source = k * t * (1 - r) / r
    return base(c, n, t * saturated(k, 1 / c["lambda"]) + c["tau"] * source)


def mixture_repetition(c, n, t, k, r, rf):
    source = k * t * (1 - r) / r
    return base(c, n, source + t * saturated(k, c["R"])) + c["C"] * r ** -c["gamma"]


def additive_mixture(c, n, t, k, r, rf):
    with np.errstate(divide="ignore"):
        mixture = r ** c["gamma"] / c["C"] + (1 - r) ** c["sigma"] / c["S"]
    return base(c, n, k * t / r) + 1 / mixture


def d_cpt(c, n, t, k, r, rf):
    data = c["B"] * rf ** c["eta"] * (k * t / r) ** -c["beta"]
    return c["E"] + c["A"] * n ** -c["alpha"] + data + c["C"] * (rf + c["epsilon"]) ** -c["gamma"]


def cmr(c, n, t, k, r, rf):
    return c["E"] + c["B"] * (k * t / r) ** -c["beta"] * rf ** -c["gamma"]


def effective_data(c, n, t, k, r, rf):
    data = t * saturated(k, c["R"]) * r ** -c["a"] * (rf / r) ** c["b"]
    return base(c, n, data)


PLAIN = [
    chinchilla,
    m3,
    m3_stages,
    m3_posynomial,
    data_constrained,
    m3_one_stage,
    m3_no_repetition,
    kaplan,
    chinchilla_tied,
    overfit_penalty,
    bounded,
    multilingual,
    adaptive_transfer,
    mixture_repetition,
    additive_mixture,
    d_cpt,
    cmr,
    effective_data,
]


def test_every_built_in_law_is_checked_against_its_formula():
    assert {function.__name__ for function in PLAIN} == set(list_laws())


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("function", PLAIN, ids=lambda function: function.__name__)
def test_loss_follows_the_formula(function):
    law, runs = get_law(function.__name__), recipes(300)
    theta = draw(law, 300)
    coefficients = {
        c.name: np.exp(theta[:, i]) if c.log else theta[:, i]
        for i, c in enumerate(law.coefficients)
    }
    count = len(inspect.signature(function).parameters) - 1
    expected = function(coefficients, *jax.tree.leaves(runs)[:count])
    np.testing.assert_allclose(law.loss(coefficients, runs), expected, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_with_one_stage_the_ratio_before_it_has_no_say():
    law = get_law("m3_stages")
    one = dataclasses.replace(runs := recipes(50), final_ratio=runs.target_ratio)
    one = dataclasses.replace(one, first_ratio=runs.target_ratio)
    coefficients = law.from_theta(jnp.asarray(draw(law, 50)))
    without = {name: value for name, value in coefficients.items() if name != "phi"}
    np.testing.assert_allclose(
        law.loss(coefficients, one), get_law("m3").loss(without, one), rtol=1e-12
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("name", "recipe", "expected"),
    [
        # 1.817236 + 477.842·(7e10)^-0.347313 + 2143.864·(1.4e12)^-0.367183
        # = 1.817236 + 0.0817788 + 0.0743610
        ("chinchilla", {"n_params": 70e9, "target_tokens": 1.4e12, "epochs": 1}, 1.9733758574),
        # G = (A/B)^(1/(2·0.3526596)) = 0.2258019; U_N = G²·U = 5.0986518e7
        # D' = 1e9·(1 + 15.387756·(1 - e^(-3/15.387756))) = 3.7256731e9
        # N' = U_N·(1 + 5.309743·(1 - e^(-(1e9/U_N - 1)/5.309743))) = 3.1358104e8
        # L = 1.8691437 + 0.5252577 + 0.6268200
        ("data_constrained", {"n_params": 1e9, "target_tokens": 1e9, "epochs": 4}, 3.0212213849),
        # ((6.4e13/1.5e9)^(0.076/0.103) + 1.8e13/2.2e10)^0.103 = (2608.41170 + 818.18182)^0.103
        ("kaplan", {"n_params": 1.5e9, "target_tokens": 2.2e10, "epochs": 1}, 2.3125484834),
        # 1.8691437 + 520.82496·(2.8e9)^-0.3526596 + 1487.71609·(5.5e10)^-0.3526596
        # = 1.8691437 + 0.2426950 + 0.2425650
        (
            "chinchilla_tied",
            {"n_params": 2.8e9, "target_tokens": 5.5e10, "epochs": 1},
            2.3544036201,
        ),
    ],
)
def test_published_coefficients_by_hand(name, recipe, expected):
    law = get_law(name)
    (published,) = law.published.values()
    assert law.loss(published, Recipe.create(**recipe)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.usefixtures("x64")
@each_law
def test_log_loss_of_theta_is_the_logarithm_of_the_loss(law):
    theta, runs = draw(law, 1)[0], recipes(50)
    loss = law.loss(law.from_theta(jnp.asarray(theta)), runs)
    np.testing.assert_allclose(law.log_loss_theta(theta, runs), np.log(loss), atol=1e-13)


@pytest.mark.usefixtures("x64")
@each_law
def test_coefficients_and_recipe_broadcast(law):
    theta, runs = draw(law, 4), recipes(5)
    column = law.from_theta(jnp.asarray(theta)[:, None, :])
    row = jax.tree.map(lambda leaf: leaf[None, :], runs)
    loss = law.loss(column, row)
    assert loss.shape == (4, 5)
    one = law.loss(law.from_theta(jnp.asarray(theta[2])), jax.tree.map(lambda leaf: leaf[3], runs))
    assert one.shape == ()
    np.testing.assert_allclose(loss[2, 3], one, rtol=1e-14)
    with jax.numpy_rank_promotion("allow"):
        np.testing.assert_array_equal(law.loss(column, runs), loss)


@pytest.mark.usefixtures("x64")
@each_law
def test_one_coefficient_alone_may_have_an_axis(law):
    coefficients = law.from_theta(jnp.asarray(draw(law, 1)[0]))
    name = law.names[1]
    many = {**coefficients, name: coefficients[name] * jnp.ones(3)}
    runs = Recipe.create(n_params=1e8, target_tokens=1e8, epochs=2.0, target_ratio=0.5)
    np.testing.assert_allclose(
        law.loss(many, runs), np.full(3, law.loss(coefficients, runs)), rtol=1e-14
    )


# Limits


def middle(name, **changes):
    """Middling coefficients of a law by name, some of them replaced."""
    law = get_law(name)
    low, high = law.theta_start()
    return {**law.from_theta(jnp.asarray((low + high) / 2)), **changes}


@pytest.mark.usefixtures("x64")
def test_m3_without_penalty_on_one_language_is_chinchilla():
    runs = Recipe.create(n_params=[1e7, 1e12], target_tokens=[1e13, 1e3], epochs=[1.0, 0.2])
    coefficients = middle("m3", P=1e-60)
    shared = {name: coefficients[name] for name in get_law("chinchilla").names}
    np.testing.assert_allclose(
        get_law("m3").loss(coefficients, runs), get_law("chinchilla").loss(shared, runs), rtol=1e-14
    )


@pytest.mark.usefixtures("x64")
def test_m3_without_saturation_and_discount_is_the_posynomial():
    coefficients = middle("m3", R=1e12, tau=1e-30)
    shared = {name: coefficients.get(name, 0.0) for name in get_law("m3_posynomial").names}
    runs = recipes(100)
    many, few = get_law("m3").loss(coefficients, runs), get_law("m3_posynomial").loss(shared, runs)
    np.testing.assert_allclose(many, few, rtol=1e-7)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("extent", [0.01, 1.0, 15.0, 1e7])
def test_repetition_counts_epochs_up_to_one(extent):
    log_k = np.log([1e-6, 0.1, 1.0])
    np.testing.assert_array_equal(log_repetition(log_k, jnp.log(extent)), log_k)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("extent", [0.01, 1.0, 15.0])
def test_repetition_saturates(extent):
    np.testing.assert_allclose(
        log_repetition(jnp.log(1e6), jnp.log(extent)), np.log1p(extent), rtol=1e-12
    )


@pytest.mark.usefixtures("x64")
def test_repetition_grows_and_stays_below_the_epochs():
    log_k = np.linspace(-1, 5, 200)
    log_rho = np.asarray(log_repetition(log_k, jnp.log(15.0)))
    assert np.all(np.diff(log_rho) > 0)
    assert np.all(log_rho <= log_k)


@pytest.mark.usefixtures("x64")
def test_data_constrained_below_one_epoch_is_chinchilla_while_models_are_small():
    coefficients = middle("data_constrained", A=1e3, B=1e3)
    shared = {name: coefficients[name] for name in get_law("chinchilla").names}
    runs = Recipe.create(n_params=1e6, target_tokens=1e11, epochs=[0.1, 1.0])
    np.testing.assert_allclose(
        get_law("data_constrained").loss(coefficients, runs),
        get_law("chinchilla").loss(shared, runs),
        rtol=1e-14,
    )


# Derivatives


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
        assert_close(got, scaled(law, order, narrow.astype(np.float64)), tolerance)


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
@pytest.mark.parametrize("name", ["m3", "m3_posynomial", "chinchilla"])
def test_gradient_agrees_from_both_sides_of_one_epoch(name):
    below, at, above = around_one_epoch(get_law(name))
    assert_close(below, at, 1e-7)
    assert_close(above, at, 1e-7)


@pytest.mark.usefixtures("x64")
def test_data_constrained_gradient_at_one_epoch_lies_between_its_sides():
    # Below one epoch k also sets the unique text, and with it the model that text can feed.
    below, at, above = around_one_epoch(get_law("data_constrained"))
    assert np.all(at >= np.minimum(below, above) - 1e-7)
    assert np.all(at <= np.maximum(below, above) + 1e-7)


@pytest.mark.usefixtures("x64")
def test_data_constrained_gradient_agrees_from_both_sides_of_the_model_it_can_feed():
    law = get_law("data_constrained")
    (published,) = law.published.values()
    best = (published["A"] / published["B"]) ** (1 / published["alpha"]) * 1e9  # N_opt of U = 1e9
    sides = np.tile([best, 1e9, 4.0, 1.0, 1.0, 1.0], (3, 1))
    sides[:, 0] *= [1 - 1e-9, 1, 1 + 1e-9]
    gradient = scaled(law, 1, points([law.to_theta(published)], sides))
    assert_close(gradient, gradient[[1, 1, 1]], 1e-7)


# Centring


def grid():
    sizes, tokens = np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6))
    return Recipe.create(n_params=sizes.ravel(), target_tokens=tokens.ravel(), epochs=1.0)


@pytest.mark.usefixtures("x64")
@each_log_space
def test_centring_is_a_unit_shear(law):
    shear = law.centre(recipes(40)) - np.eye(len(law.coefficients))
    np.testing.assert_array_equal(shear @ shear, 0)  # nilpotent: unit triangular up to ordering
    rows = {law.names[i] for i in np.flatnonzero(shear.any(axis=1))}
    assert rows <= set(law.terms)


@pytest.mark.usefixtures("x64")
@each_log_space
def test_centred_coefficients_give_the_same_law(law):
    runs = recipes(40)
    matrix, theta = law.centre(runs), draw(law, 1)[0]
    centred = np.linalg.solve(matrix, theta)
    np.testing.assert_allclose(
        law.log_loss_theta(matrix @ centred, runs), law.log_loss_theta(theta, runs), atol=1e-12
    )


@pytest.mark.usefixtures("x64")
def test_centred_amplitudes_are_quoted_at_the_middle_of_the_runs():
    law, runs = get_law("chinchilla"), grid()
    theta = draw(law, 1)[0]
    centred = np.linalg.solve(law.centre(runs), theta)
    c = law.from_theta(theta)
    size, tokens = (np.exp(np.log(v).mean()) for v in (runs.n_params, runs.total_tokens))
    expected = [c["E"], c["A"] * size ** -c["alpha"], c["B"] * tokens ** -c["beta"]]
    amplitudes = [centred[law.names.index(name)] for name in "EAB"]
    np.testing.assert_allclose(np.exp(amplitudes), expected, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_centring_conditions_the_fit():
    law, runs = get_law("chinchilla"), grid()
    (published,) = law.published.values()
    jacobian = np.asarray(jax.jacfwd(law.log_loss_theta)(law.to_theta(published), runs))
    centred = jacobian @ law.centre(runs)
    assert np.linalg.cond(jacobian) > 10 * np.linalg.cond(centred)


def test_a_plain_law_has_no_centring():
    assert SQUARE_ROOT.centre(recipes(5)) is None


# Coefficients and declarations


@pytest.mark.usefixtures("x64")
@each_law
def test_theta_round_trip(law):
    theta = draw(law, 6).reshape(2, 3, -1)
    named = law.from_theta(jnp.asarray(theta))
    assert set(named) == set(law.names)
    np.testing.assert_allclose(law.to_theta(named), theta, rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("x64")
def test_theta_is_the_logarithm_where_declared():
    theta = SQUARE_ROOT.to_theta({"floor": 2.0, "size": 100.0, "slope": 0.5})
    np.testing.assert_allclose(theta, [np.log(2), np.log(100), 0.5], rtol=1e-15)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_wrong_coefficient_names_are_refused(change):
    named = {"floor": 1.0, "size": 1.0, "slope": 0.0}
    if change == "missing":
        del named["slope"]
    else:
        named["slop"] = 0.0
    with pytest.raises(M3Error, match="law square_root: expected coefficients floor, size, slope"):
        SQUARE_ROOT.to_theta(named)


@each_law
def test_starts_and_neutral_values_lie_within_bounds(law):
    low, high = law.theta_bounds()
    start_low, start_high = law.theta_start()
    neutral = law.theta_neutral()
    assert np.all((low <= start_low) & (start_low < start_high) & (start_high <= high))
    assert np.all((low <= neutral) & (neutral <= high))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (-1, 1), "bounds": (0, 2)}, "start .* leaves bounds"),
        ({"start": (1, 3), "bounds": (0, 2)}, "start .* leaves bounds"),
        ({"start": (2, 1), "bounds": (0, 3)}, "start .* leaves bounds"),
        ({"start": (1, 2), "bounds": (1, 2)}, "neutral 0.0 leaves"),
        ({"start": (1, 2), "bounds": (0, 2), "log": True}, "log=True needs positive bounds"),
        ({"start": (1, 2), "bounds": (0, 2), "needs": ("size",)}, r"needs \['size'\]"),
    ],
)
def test_misdeclared_coefficient_is_refused(options, message):
    with pytest.raises(M3Error, match=f"coefficient x: {message}"):
        Coefficient("x", **options)


def test_repeated_coefficient_names_are_refused():
    one = Coefficient("x", (0, 1), (0, 1))
    with pytest.raises(M3Error, match="names repeat"):
        Law("twice", (one, one), function=lambda c, recipe: c["x"])


def test_unknown_variables_are_refused():
    one = Coefficient("x", (0, 1), (0, 1))
    with pytest.raises(M3Error, match=r"variables \['depth'\]"):
        Law("deep", (one,), function=lambda c, recipe: c["x"], variables=("depth",))


@each_built_in
def test_built_in_law_is_described(law):
    assert law.formula.startswith("L = ")
    assert law.source
    assert all(c.meaning for c in law.coefficients)
    assert all(name in law.formula for name in law.names)


@each_law
def test_coefficients_need_only_what_the_law_depends_on(law):
    assert {need for c in law.coefficients for need in c.needs} <= set(law.variables)


@each_built_in
def test_published_coefficients_lie_within_bounds(law):
    for published in law.published.values():
        assert set(published) == set(law.names)
        for c in law.coefficients:
            assert c.bounds[0] <= published[c.name] <= c.bounds[1]


# The registry


def test_the_paper_laws_and_their_rivals_are_registered():
    assert list_laws()[0] == "m3"
    assert {"m3_posynomial", "chinchilla", "data_constrained"} < set(list_laws())


@pytest.mark.usefixtures("registry")
def test_a_registered_law_is_found_by_name():
    assert register_law(SQUARE_ROOT) is SQUARE_ROOT
    assert get_law("square_root") is SQUARE_ROOT
    assert list_laws()[-1] == "square_root"


def test_a_law_is_its_own_name():
    assert get_law(SQUARE_ROOT) is SQUARE_ROOT
    assert "square_root" not in list_laws()


def test_unknown_law_is_refused_with_the_known_ones():
    with pytest.raises(M3Error, match=r"unknown law 'm4'; known laws: m3, .*chinchilla"):
        get_law("m4")


@pytest.mark.usefixtures("registry")
def test_a_taken_name_is_refused_unless_overwritten():
    register_law(SQUARE_ROOT)
    with pytest.raises(M3Error, match="'square_root' is registered already"):
        register_law(SQUARE_ROOT)
    assert register_law(SQUARE_ROOT, overwrite=True) is SQUARE_ROOT
