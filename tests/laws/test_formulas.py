"""Every built-in law follows its formula, and takes axes of coefficients and recipes."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.laws import get_law, list_laws
from m3jax.recipe import Recipe

from .points import draw, each_law, recipes

pytestmark = pytest.mark.usefixtures("strict_promotion")


def base(c, n, d):
    return c["E"] + c["A"] * n ** -c["alpha"] + c["B"] * d ** -c["beta"]


def chinchilla(c, n, t, k, r, rf):
    return base(c, n, k * t / r)


def stage_share(r, rf, r1):
    return np.where(rf > r, (r - r1) / np.where(rf > r, rf - r1, 1), 1)


def counted(r, rf, r1):
    return r * (rf / r) ** (1 - np.exp(-stage_share(r, rf, r1) / 0.15))


def m3(c, n, t, k, r, rf, r1):
    final = counted(r, rf, r1)
    first = base(c, n, k * t / r) * r ** -c["gamma"] * final ** -c["eta"]
    source = k * t * (1 - r) / r
    rho = np.where(k <= 1, k, 1 - c["R"] * np.expm1(-(k - 1) / c["R"]))
    text = (t + c["tau"] * source) ** -c["omega"]
    harm = c["P"] * rho ** c["delta"] * n ** c["kappa"] * text * final ** c["theta"]
    return first + np.log1p(harm)


def m3_effective(c, n, t, k, r, rf, r1):
    taught = np.where(k <= 1, k, 1 - c["R_e"] * np.expm1(-(k - 1) / c["R_e"]))
    data = k * t * (1 - r) / r + t * taught
    term = (data ** -c["beta"] - (k * t / r) ** -c["beta"]) * r ** -c["gamma"]
    return m3(c, n, t, k, r, rf, r1) + c["B"] * term * counted(r, rf, r1) ** -c["eta"]


def m3_stages(c, n, t, k, r, rf, r1):
    first = base(c, n, k * t / r) * r ** -c["gamma"] * counted(r, rf, r1) ** -c["eta"]
    return m3(c, n, t, k, r, rf, r1) + first * (stage_share(r, rf, r1) ** -c["phi"] - 1)


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


def m3_one_stage(c, n, t, k, r, rf, r1):
    return m3({**c, "eta": 0.0, "theta": 0.0}, n, t, k, r, rf, r1)


def m3_no_repetition(c, n, t, k, r, rf, r1):
    return base(c, n, k * t / r) * r ** -c["gamma"] * counted(r, rf, r1) ** -c["eta"]


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
    m3_effective,
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
    expected = function(coefficients, *jax.tree.leaves(runs.as_read())[:count])
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
