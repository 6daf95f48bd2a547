"""Pooling across languages: what it gains and what it leaves alone."""

import numpy as np
import pytest

from benchmarks.studies.pooling import goldfish, goldfish_predictions
from benchmarks.support.priors import weak_prior
from benchmarks.support.synthetic import draw_recipes, run_table, true_loss, true_theta
from m3jax import fit
from m3jax.fitting import Prior
from m3jax.fitting.problem import prepare_problem
from m3jax.laws import get_law


def errors(fits, theta):
    """Mean |log error| of each language on recipes like the runs', (L,)."""
    recipe = draw_recipes(60, np.random.default_rng(0))
    return np.array(
        [
            np.mean(np.abs(np.log(fits.predict(recipe, name) / true_loss(one, recipe))))
            for name, one in zip(fits.languages, theta, strict=True)
        ]
    )


@pytest.mark.slow
def test_goldfish(shared_data):
    if not (shared_data / "goldfish").is_dir():
        pytest.skip(f"no goldfish table in {shared_data}")
    runs, held = goldfish(shared_data)
    fits = fit(runs, "chinchilla", pool="partial", draws=100)
    error, width = goldfish_predictions(fits, held)
    error = np.abs(error)
    assert len(error) == 113
    assert np.median(error) <= 0.043
    assert np.quantile(error, 0.9) <= 0.107
    # Intervals learnt over all languages hold, and are not the wide ones of a language by itself.
    assert np.mean(error < width / 2) >= 0.87
    assert np.mean(width) < 0.25
    assert fits.population.rho[list(fits.law.names).index("beta")] < 0.2
    # Three runs each do not tell where the population is, and the result says so.
    assert not fits.population.settled


@pytest.mark.slow
def test_few_runs_borrow_and_many_stay(few, partial, theta):
    own = fit(few, prior=weak_prior(get_law("m3")), draws=0)
    pooled, alone = errors(partial, theta)[2:], errors(own, theta)[2:]
    assert np.mean(pooled) < 0.6 * np.mean(alone)
    many = few.select(np.isin(few.language, few.languages[:2]))
    by_themselves = fit(many, draws=100)
    for name in by_themselves.languages:
        recipe = draw_recipes(60, np.random.default_rng(0))
        low, high = np.quantile(by_themselves.predict_draws(recipe, name), [0.05, 0.95], axis=0)
        moved = np.abs(partial.predict(recipe, name) - by_themselves.predict(recipe, name))
        assert np.mean(moved / ((high - low) / 2)) < 0.3
    low, high = np.quantile(by_themselves.draws, [0.05, 0.95], axis=1)
    moved = np.abs(partial.theta[:2] - by_themselves.theta) / (high - low)
    assert np.median(moved) < 0.2
    told = " ".join(partial.messages[2])
    assert "3 runs for 14 coefficients: the population of the other languages decides" in told
    assert not any("population" in m for m in partial.messages[0])


@pytest.mark.slow
def test_intervals_of_few_runs_hold_the_truth(partial, theta):
    recipe = draw_recipes(60, np.random.default_rng(1))
    inside = []
    for name, one in zip(partial.languages[2:], theta[2:], strict=True):
        low, high = np.quantile(partial.predict_draws(recipe, name), [0.05, 0.95], axis=0)
        inside.append(np.mean((low <= true_loss(one, recipe)) & (true_loss(one, recipe) <= high)))
    assert np.mean(inside) > 0.75


@pytest.mark.slow
def test_what_no_run_of_a_language_tells_comes_from_the_others():
    theta = true_theta(5, 2).copy()
    theta[:, 6] = 0.1  # eta, the same in all
    runs = run_table(theta, 100, 0.003, 4)
    single = runs.recipe.final_ratio <= runs.recipe.target_ratio
    last = runs.language == runs.languages[-1]
    fits = fit(runs.select(~last | single), pool="partial", draws=0)
    assert fits.coefficients(fits.languages[-1])["eta"] == pytest.approx(0.1, abs=0.03)
    assert not fits.frozen[-1].any()
    assert "eta not determined by these runs: taken from the other languages" in fits.messages[-1]
    # What no language tells is frozen in all.
    problem, _, _ = prepare_problem(fits.law, runs.select(single).batch(), {}, Prior(), "partial")
    assert not problem.free[:, 6].any()
    assert problem.free[:, 5].all()


@pytest.mark.slow
def test_full_pooling_shares_exponents_and_shapes(few):
    fits = fit(few, "chinchilla", pool="full", draws=10)
    names = list(fits.law.names)
    shared = [names.index("alpha"), names.index("beta")]
    assert np.ptp(fits.theta[:, shared], axis=0) == pytest.approx(0, abs=1e-12)
    assert np.ptp(fits.draws[:, :, shared], axis=0) == pytest.approx(0, abs=1e-5)
    assert np.all(np.std(fits.draws[0][:, shared], axis=0) > 0)
    assert np.all(np.ptp(fits.theta[:, [0, 1, 3]], axis=0) > 0)
    assert not fits.frozen.any()
    assert fits.population.rho[shared] == pytest.approx(0, abs=1e-5)
    assert "all languages share (alpha, beta)" in fits.messages[2][-1]


@pytest.mark.slow
def test_one_language_has_nothing_to_pool(few):
    alone = few.for_language(few.languages[0])
    pooled, own = (fit(alone, pool=pool, draws=4) for pool in ("partial", "none"))
    np.testing.assert_array_equal(pooled.theta, own.theta)
    np.testing.assert_array_equal(pooled.draws, own.draws)
    assert pooled.population is None
    assert pooled.settings["pool"] == "none"
    assert "nothing to pool" in pooled.settings["notes"][-1]


@pytest.mark.slow
def test_too_few_even_for_pooling(few):
    runs = few.select(
        (few.language != few.languages[2]) | (np.cumsum(few.language == few.languages[2]) <= 2)
    )
    fits = fit(runs, pool="partial", draws=0)
    reason = "too few runs: 2; pooling needs at least 3; add runs"
    assert fits.failed == {few.languages[2]: (2, reason)}


@pytest.mark.slow
def test_the_seed_decides(few, partial):
    again = fit(few, pool="partial", draws=20)
    np.testing.assert_array_equal(partial.theta, again.theta)
    np.testing.assert_array_equal(partial.draws, again.draws)
    np.testing.assert_array_equal(partial.population.mean, again.population.mean)
    other = fit(few, pool="partial", draws=20, seed=1)
    assert not np.array_equal(partial.draws, other.draws)
    assert errors_between(partial, other) < 0.01


def errors_between(one, two):
    recipe = draw_recipes(30, np.random.default_rng(0))
    apart = [np.log(one.predict(recipe, n) / two.predict(recipe, n)) for n in one.languages]
    return float(np.median(np.abs(apart)))
