"""Laws at limits of their coefficients, and how repetition saturates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3jax.laws import get_law, log_dilution
from m3jax.laws.m3 import log_counted_ratio, log_repetition
from m3jax.recipe import Recipe

from .points import draw, each_built_in, each_law, recipes

pytestmark = pytest.mark.usefixtures("strict_promotion")


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
def test_m3_is_the_posynomial_diluted_where_nothing_saturates_and_stages_are_long():
    coefficients = middle("m3", R=1e12, tau=1e-30)
    shared = {name: coefficients.get(name, 0.0) for name in get_law("m3_posynomial").names}
    runs = recipes(100)
    counted = dataclasses.replace(runs, final_ratio=np.exp(log_counted_ratio(runs)))
    posynomial = get_law("m3_posynomial")
    first = posynomial.loss({**shared, "P": 0.0}, counted)
    harm = posynomial.loss(shared, counted) - first
    expected = first + np.log1p(harm)
    np.testing.assert_allclose(get_law("m3").loss(coefficients, runs), expected, rtol=1e-7)


@pytest.mark.usefixtures("x64")
def test_a_final_stage_counts_the_less_the_shorter_it_is():
    final, first = np.full(5, 0.8), np.array([0.0, 0.1, 0.2, 0.29, 0.3])
    runs = Recipe(np.full(5, 1e7), np.full(5, 1e6), np.full(5, 2.0), np.full(5, 0.3), final, first)
    one_stage = dataclasses.replace(runs, final_ratio=runs.target_ratio)
    counted = np.exp(log_counted_ratio(runs))
    assert np.all(np.diff(counted) < 0)
    assert 0.3 <= counted.min() < counted.max() < 0.8
    np.testing.assert_allclose(np.exp(log_counted_ratio(one_stage)), 0.3, rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_dilution_is_the_logarithm_of_one_more_at_every_size():
    x = np.concatenate([-np.logspace(3, -3, 50), [0.0], np.logspace(-3, 3, 50)])
    exact = np.where(x < -30, x, np.log(np.logaddexp(0, np.maximum(x, -30))))
    np.testing.assert_allclose(log_dilution(jnp.asarray(x)), exact, rtol=1e-12, atol=1e-12)
    slopes = jax.vmap(jax.grad(log_dilution))(jnp.asarray(x))
    assert np.all(np.diff(slopes) <= 1e-12)
    assert slopes[0] == 1.0
    assert np.all(np.isfinite(slopes))


@pytest.mark.usefixtures("x64")
def test_where_repeated_text_never_stops_teaching_effective_tokens_are_all():
    coefficients = middle("m3_effective", R_e=1e12)
    shared = {name: coefficients[name] for name in get_law("m3").names}
    runs = recipes(100)
    many, few = (
        get_law(n).loss(c, runs) for n, c in (("m3_effective", coefficients), ("m3", shared))
    )
    np.testing.assert_allclose(many, few, rtol=1e-7)


@pytest.mark.usefixtures("x64")
@each_law
def test_a_corpus_read_in_part_is_a_smaller_corpus(law):
    runs = recipes(200)
    part = np.random.default_rng(0).uniform(1e-6, 1.0, 200)
    in_part = dataclasses.replace(runs, epochs=part)
    smaller = dataclasses.replace(
        runs, target_tokens=part * runs.target_tokens, epochs=np.ones(200)
    )
    for theta in draw(law, 3):
        losses = [np.asarray(law.log_loss_theta(theta, recipe)) for recipe in (in_part, smaller)]
        np.testing.assert_array_equal(*losses)
        named = law.from_theta(jnp.asarray(theta))
        np.testing.assert_allclose(law.loss(named, in_part), np.exp(losses[1]), rtol=1e-12)


@pytest.mark.usefixtures("x64")
@each_built_in
def test_more_unique_text_is_no_worse_for_as_many_tokens_seen(law):
    """What the search for the best recipe counts on, where coefficients are as fits begin."""
    runs = recipes(200)
    more = np.random.default_rng(1).uniform(1.0, runs.epochs.clip(1.0))
    richer = dataclasses.replace(
        runs, target_tokens=runs.target_tokens * more, epochs=runs.epochs / more
    )
    for theta in draw(law, 20):
        before, after = (np.asarray(law.log_loss_theta(theta, r)) for r in (runs, richer))
        assert np.all(after <= before + 1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("extent", [0.01, 1.0, 15.0, 1e7])
def test_one_epoch_is_no_repetition(extent):
    assert log_repetition(jnp.zeros(()), jnp.log(extent)) == 0


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("extent", [0.01, 1.0, 15.0])
def test_repetition_saturates(extent):
    np.testing.assert_allclose(
        log_repetition(jnp.log(1e6), jnp.log(extent)), np.log1p(extent), rtol=1e-12
    )


@pytest.mark.usefixtures("x64")
def test_repetition_grows_and_stays_below_the_epochs():
    log_k = np.linspace(0, 5, 200)
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
