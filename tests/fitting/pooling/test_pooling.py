"""Pooling across languages, and priors that users state."""

import dataclasses
import json
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies import pooling
from benchmarks.studies.pooling import few_runs, goldfish, goldfish_errors, made_up
from benchmarks.support.priors import weak_prior
from benchmarks.support.synthetic import draw_recipes, run_table, true_loss, true_theta
from m3jax import Fits, M3Error, Recipe, RunTable, fit
from m3jax.fitting import Population, Prior
from m3jax.fitting.pooling import LikelihoodMessages, PopulationBasis, expected_huber
from m3jax.fitting.problem import prepare
from m3jax.laws import get_law

COUNTS = np.array([100, 100, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])


@pytest.fixture(scope="module")
def theta():
    return true_theta(len(COUNTS), 3)


@pytest.fixture(scope="module")
def few(theta):
    """Full `m3`, two languages with 100 runs and ten with 3 to 12."""
    return few_runs(theta, COUNTS, 0.01, 5)


@pytest.fixture(scope="module")
def partial(few):
    return fit(few, pool="partial", draws=20)


def errors(fits, theta):
    """Mean |log error| of each language on recipes like the runs', (L,)."""
    recipe = draw_recipes(60, np.random.default_rng(0))
    return np.array(
        [
            np.mean(np.abs(np.log(fits.predict(recipe, name) / true_loss(one, recipe))))
            for name, one in zip(fits.languages, theta, strict=True)
        ]
    )


# What pooling gains


@pytest.mark.slow
def test_goldfish(shared_data):
    if not (shared_data / "goldfish").is_dir():
        pytest.skip(f"no goldfish table in {shared_data}")
    runs, held = goldfish(shared_data)
    fits = fit(runs, "chinchilla", pool="partial", draws=0)
    error = np.abs(goldfish_errors(fits, held))
    assert len(error) == 113
    assert np.median(error) <= 0.043
    assert np.quantile(error, 0.9) <= 0.107
    assert fits.population.rho[list(fits.law.names).index("beta")] < 0.2
    # Three runs each do not tell where the population is, and the result says so.
    assert not fits.population.settled


@pytest.mark.slow
def test_few_runs_borrow_and_many_stay(few, partial, theta):
    own = fit(few, prior=weak_prior(get_law("m3")), draws=0)
    pooled, alone = errors(partial, theta)[2:], errors(own, theta)[2:]
    assert np.mean(pooled) < 0.6 * np.mean(alone)
    by_themselves = fit(few, draws=100)
    assert set(by_themselves.failed) == set(few.languages[2:])  # "too few runs" stays the rule
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
    problem, _, _ = prepare(fits.law, runs.select(single).batch(), {}, Prior(), "partial")
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


# What it leaves alone


def test_one_language_has_nothing_to_pool(few):
    alone = few.for_language(few.languages[0])
    pooled, own = (fit(alone, pool=pool, draws=4) for pool in ("partial", "none"))
    np.testing.assert_array_equal(pooled.theta, own.theta)
    np.testing.assert_array_equal(pooled.draws, own.draws)
    assert pooled.population is None
    assert pooled.settings["pool"] == "none"
    assert "nothing to pool" in pooled.settings["notes"][-1]


def test_too_few_even_for_pooling(few):
    runs = few.select(
        (few.language != few.languages[2]) | (np.cumsum(few.language == few.languages[2]) <= 2)
    )
    fits = fit(runs, pool="partial", draws=0)
    assert fits.failed == {few.languages[2]: (2, "too few runs: 2; pooling needs 3")}


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


# The population as a result


@pytest.mark.slow
def test_population_is_saved_and_read_back(partial, tmp_path):
    path = partial.save(tmp_path / "fits.json")
    loaded = Fits.load(path).population
    for field in dataclasses.fields(Population):
        expected, found = (getattr(p, field.name) for p in (partial.population, loaded))
        np.testing.assert_array_equal(found, expected)
    content = json.loads(path.read_text())
    assert content["population"]["languages"] == len(COUNTS)
    assert 3 <= content["population"]["rounds"] <= 8
    assert content["settings"]["pool"] == "partial"
    del content["population"]  # files from before there was pooling
    path.write_text(json.dumps(content))
    assert Fits.load(path).population is None


@pytest.mark.slow
def test_population_says_what_it_is(partial):
    population, law = partial.population, partial.law
    assert 0.005 < population.noise < 0.02
    assert population.status.startswith("settled" if population.settled else "still drifting")
    drifting = dataclasses.replace(population, settled=False, rounds=8)
    assert drifting.status.startswith("still drifting after 8 rounds")
    Prior(population.ranges(law)).check(law)
    assert np.all((population.rho >= 0) & (population.rho <= 1))


def test_evidence_finds_the_spread_of_languages():
    """Well-determined languages: the variances are the sample's, and the mean the sample's."""
    law = get_law("chinchilla")
    rng = np.random.default_rng(0)
    free, sd = np.ones(5, bool), np.array([1.0, 1.0, 0.3, 1.0, 0.3])
    basis = PopulationBasis.of(law, np.zeros(5), sd, free, "partial")
    x = 0.1 * sd * rng.standard_normal((200, 5)) + 0.2 * sd
    information = np.broadcast_to(1e6 * np.eye(5), (200, 5, 5))
    variance = basis.start()
    for _ in range(8):
        found = basis.estimate(LikelihoodMessages(information, 1e6 * x), variance)
        variance = found.variance
    assert found.mean == pytest.approx(x.mean(axis=0), abs=0.02)
    assert np.sqrt(variance[2]) == pytest.approx(0.03, rel=0.3)
    population = basis.describe(law, found, "partial", 200, 0.01)
    assert np.all(population.rho < 0.05)
    # A language told by nothing but the others expects what they say, and not to be one of them.
    assert found.prior_mean[0] == pytest.approx(found.mean, abs=0.02)
    assert np.all(np.linalg.eigvalsh(found.prior_cov) > 0)


def test_expected_huber_is_the_mean_of_the_huber_loss():
    z = np.random.default_rng(0).standard_normal(400_000)
    for sd, delta in ((1e-4, 1e-3), (1e-3, 1e-3), (2e-2, 1e-3)):
        e = np.abs(sd * z)
        loss = np.where(e <= delta, e**2 / 2, delta * (e - delta / 2))
        assert expected_huber(np.array([sd]), delta)[0] == pytest.approx(loss.mean(), rel=0.01)


# Priors that users state


@pytest.fixture(scope="module")
def eight():
    """A language with many runs, which sets the shape that is compiled, and two with eight."""
    return few_runs(true_theta(3, 3), np.array([100, 8, 8]), 0.003, 5)


@pytest.mark.slow
def test_a_stated_prior_decides_what_runs_leave_open(eight):
    law = get_law("chinchilla")
    tight = Prior({**weak_prior(law).ranges, "alpha": (0.449, 0.451)}, "a guess")
    fits = fit(eight, law, prior=tight, draws=20)
    assert fits.theta[1:, 2] == pytest.approx(0.45, abs=0.01)
    assert fits.settings["prior"] == "given"
    assert fits.settings["prior_ranges"]["alpha"] == [0.449, 0.451]
    assert fits.settings["prior_source"] == "a guess"
    low, high = fits.intervals(fits.languages[1])["alpha"]
    assert low < 0.45 < high
    # What is not named needs runs, as ever.
    only = fit(eight, prior=Prior({"alpha": (0.3, 0.4)}), draws=0)
    assert (
        "needs at least 15, for the 13 of its coefficients that the prior does not name"
        in (only.failed[eight.languages[1]][1])
    )


def test_amplitudes_are_stated_as_shares_of_the_loss(eight):
    law = get_law("chinchilla")
    ranges = {**weak_prior(law).ranges, "E": (0.6990, 0.7010)}
    fits = fit(eight, law, prior=Prior(ranges), draws=0)
    for name in fits.languages[1:]:
        loss = eight.for_language(name).loss
        share = fits.coefficients(name)["E"] / np.exp(np.mean(np.log(loss)))
        assert share == pytest.approx(0.7, abs=0.02)


def test_a_named_coefficient_is_not_frozen(eight):
    runs = RunTable.from_frame(eight.to_frame().assign(n_params=1e8))
    prior = Prior({"A": (0.1, 0.2), "alpha": (0.3, 0.4)})
    fits = fit(runs, "chinchilla", prior=prior, draws=0)
    assert not fits.frozen.any()
    assert fits.coefficients(fits.languages[1])["alpha"] == pytest.approx(0.35, abs=0.01)
    assert "A, alpha not determined by these runs: taken from the prior" in fits.messages[0]


def test_public_prior(eight):
    for law in ("m3", "chinchilla"):
        prior = Prior.public(get_law(law))
        prior.check(get_law(law))
        assert set(prior.ranges) == set(get_law(law).names)
        assert "Muennighoff" in prior.source
    fits = fit(eight, "m3", prior="public", draws=0)
    assert not fits.failed
    assert fits.settings["prior"] == "public"
    assert "8 runs for 14 coefficients: the stated prior decides most of them" in fits.messages[1]


def test_pooling_takes_a_stated_prior(few):
    fits = fit(few, pool="partial", prior="public", draws=0)
    assert fits.population is not None
    assert not fits.failed


def test_prior_files(eight, tmp_path):
    path = Prior({"alpha": (0.3, 0.4), "beta": (0.2, 0.3)}, "me").save(tmp_path / "prior.json")
    assert Prior.read(path) == Prior({"alpha": (0.3, 0.4), "beta": (0.2, 0.3)}, "me")
    fits = fit(eight, "chinchilla", prior=path, draws=0)
    assert fits.settings["prior"] == str(path)
    assert fits.save(tmp_path / "fits.json").exists()


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"nope": (0, 1)}, "law chinchilla has no coefficient 'nope'; it has E, A, alpha"),
        ({"alpha": (0.4, 0.3)}, "prior alpha: expected low < high, got 0.4 and 0.3"),
        ({"alpha": (0.3, 0.3)}, "expected low < high"),
        ({"alpha": (-0.1, 0.3)}, "prior alpha = -0.1 to 0.3: expected values within 0 to 3"),
        ({"E": (-1.0, 0.3)}, "the share of the loss its term makes up"),
        ({"alpha": (0.1, float("nan"))}, "expected low < high"),
        ({"alpha": 0.3}, r"prior alpha: expected \(low, high\), got 0.3"),
    ],
)
def test_prior_errors(eight, ranges, message):
    with pytest.raises(M3Error, match=message):
        fit(eight, "chinchilla", prior=Prior(ranges))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("{}", "not a prior file"),
        ('{"kind": "m3jax prior", "laws": {"m3": {}}}', "nothing on law chinchilla; it has m3"),
        ('{"kind": "m3jax prior"}', 'expected "ranges"'),
        ('{"kind": "m3jax prior", "ranges": {"alpha": 3}}', r"prior alpha: expected \[low, high\]"),
    ],
)
def test_prior_file_errors(eight, tmp_path, text, message):
    path = tmp_path / "prior.json"
    path.write_text(text)
    with pytest.raises(M3Error, match=message):
        fit(eight, "chinchilla", prior=str(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "strong"}, "expected 'weak', 'none', 'public' or the path of a .json file"),
        ({"prior": 3}, "expected a name, a path or a Prior, got 3"),
        ({"prior": "absent.json"}, "absent.json: prior cannot be read"),
        ({"pool": "half"}, "pool: expected 'none' or 'partial' or 'full', got 'half'"),
        ({"pool": "partial", "prior": "none"}, "prior: pooling needs one"),
    ],
)
def test_option_errors(eight, options, message):
    with pytest.raises(M3Error, match=message):
        fit(eight, "chinchilla", **options)


# The benchmark


@pytest.mark.slow
def test_benchmark_runs(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("M3JAX_DATA", str(tmp_path / "nothing"))
    words = ["--kinds", "synthetic", "--languages", "8", "--repeats", "1", "--draws", "4"]
    monkeypatch.setattr(sys, "argv", ["pooling", *words, "--json"])
    assert pooling.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["goldfish"] is None
    table = result["made_up"]["table"]["synthetic"]
    assert set(table) == set(pooling.POOLS)
    assert set(table["partial"]) == set(pooling.GROUPS)
    assert all(0 <= row["coverage_90"] <= 1 for rows in table.values() for row in rows.values())


def test_made_up_languages_are_as_alike_as_asked():
    alike, unlike = (np.std(made_up(kind, 200, 1), axis=0) for kind in ("alike", "unlike"))
    assert np.all(alike < unlike + 0.05)
    recipe = Recipe.create(n_params=1e8, target_tokens=np.array([1e7, 1e9]), epochs=4.0)
    assert np.all(np.isfinite(true_loss(made_up("middling", 3, 1)[0], recipe)))


def test_few_runs_are_the_first_of_many():
    theta = true_theta(2, 1)
    runs = few_runs(theta, np.array([3, 5]), 0.01, 2)
    assert pd.Series(runs.language).value_counts().tolist() == [5, 3]
