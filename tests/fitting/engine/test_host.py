"""The engine for a few fits: the same answers as the one for many, and laws that recover."""

import dataclasses

import jax
import numpy as np
import pytest

from benchmarks.support.synthetic import draw_recipes, run_table, true_theta
from m3jax import M3Error, RunTable, fit, get_law, list_laws
from m3jax.fitting import plan_fit
from m3jax.fitting.problem import ParameterSpace
from m3jax.options import FitOptions

from ...conftest import mostly_slow

NOISE = 1e-3


@pytest.fixture(scope="module")
def runs():
    return run_table(true_theta(2, 3), 60, 0.003, 5)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"prior": "none"}, {"fixed": {"alpha": 0.35, "E": 1.8}}])
def test_both_engines_find_the_same_fit(runs, options):
    batch, host = (fit(runs, "m3", draws=0, engine=e, **options) for e in ("batch", "host"))
    assert host.converged.all()
    # Without a prior what the runs hardly tell may end anywhere: compare what they do tell.
    np.testing.assert_allclose(host.objective, batch.objective, rtol=2e-4)
    for language in runs.languages:
        np.testing.assert_allclose(
            host.predict(runs.recipe, language), batch.predict(runs.recipe, language), rtol=1e-3
        )
    if not options:
        np.testing.assert_allclose(host.theta, batch.theta, rtol=1e-2, atol=1e-2)
    assert host.messages == batch.messages
    np.testing.assert_array_equal(host.frozen, batch.frozen)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"bootstrap": "residual"}, {"pool": "partial"}])
def test_both_engines_make_the_same_draws(runs, options):
    plain = {"draws": 40, "intervals": "bootstrap", **options}
    batch, host = (fit(runs, "m3", engine=e, **plain) for e in ("batch", "host"))
    for language in runs.languages:
        few, many = (np.log(f.predict_draws(runs.recipe, language)) for f in (host, batch))
        # A draw's refit may end in another of its valleys; next to all end in the same.
        apart = np.max(np.abs(few - many), axis=1) / np.std(many, axis=0).mean()
        assert np.median(apart) < 0.15
        assert np.mean(apart < 0.5) > 0.85


@pytest.mark.slow
def test_both_engines_calibrate_alike(runs):
    batch, host = (fit(runs, "m3", draws=200, engine=e) for e in ("batch", "host"))
    np.testing.assert_allclose(host.widening, batch.widening, rtol=0.1)
    for language in runs.languages:
        one, other = (np.log(f.loss_interval(runs.recipe, language)) for f in (host, batch))
        assert np.mean(np.abs(np.log((one[1] - one[0]) / (other[1] - other[0])))) < 0.15


def test_few_descents_are_made_on_the_host(runs):
    assert fit(runs, "chinchilla", draws=0, starts=1).settings["engine"] == "host"

    def chosen(**options):
        plan = plan_fit(runs, "chinchilla", FitOptions(**options), lambda *told: None)
        return plan.settings["engine"], plan.settings["draws_engine"]

    assert chosen(draws=200) == ("host", "host")
    assert chosen(draws=100_000) == ("host", "batch")
    assert chosen(starts=100_000) == ("batch", "host")
    assert chosen(precision="float32") == ("batch", "batch")
    assert chosen(engine="host", draws=100_000) == ("host", "host")


def test_an_unknown_engine_is_refused(runs):
    with pytest.raises(M3Error, match="engine: expected 'auto' or 'batch' or 'host', got 'steam'"):
        fit(runs, engine="steam")


def own_runs(law, count=240, seed=11):
    """Runs that a law with plausible coefficients made, the truth and its standard errors."""
    rng = np.random.default_rng(seed)
    recipe = draw_recipes(count, rng)
    with jax.enable_x64(True):
        mean = np.log(3.0)
        space = ParameterSpace.of(law, recipe, mean, np.ones(len(law.names), dtype=bool))
        x = space.start_low + (space.start_high - space.start_low) * 0.55
        for i, name in enumerate(law.names):
            if name in law.terms:  # of a size that can be seen
                x[i] = mean + np.log(0.3)
        theta = space.centre @ x
        jacobian = np.asarray(jax.jacfwd(law.log_loss_theta)(theta, recipe)) @ space.centre
        loss = np.asarray(np.exp(law.log_loss_theta(theta, recipe)))
    loss = loss * np.exp(NOISE * rng.standard_normal(count))
    cov = NOISE**2 * space.centre @ np.linalg.pinv(jacobian.T @ jacobian) @ space.centre.T
    table = RunTable(
        language=np.full(count, "all", dtype=object),
        run_id=np.arange(count).astype(str).astype(object),
        recipe=recipe,
        loss=loss,
        weight=np.ones(count),
        seed=None,
        row=np.arange(1, count + 1),
        source="made up",
    )
    return table, theta, np.sqrt(np.diag(cov))


@pytest.mark.parametrize("name", mostly_slow(list_laws()))
def test_every_law_recovers_its_own_coefficients(name):
    law = get_law(name)
    table, theta, sd = own_runs(law)
    fits = fit(table, law, draws=0, engine="host", starts=8)
    log = np.array([c.log for c in law.coefficients])
    size = np.where(log, 1.0, np.abs(theta))
    told = sd < 0.05 / 4 * size  # within 5% at four standard errors
    error = np.abs(fits.theta[0] - theta) / size
    assert fits.r2[0] > 0.999
    assert told.sum() >= min(4, len(theta) // 2)
    limit = np.where(log, np.log(1.05), 0.05)
    names = np.array(law.names)
    wrong = told & (error > limit)
    assert not wrong.any(), dict(zip(names[wrong], error[wrong], strict=True))


def test_runs_without_weight_do_not_matter(runs):
    one = runs.for_language(runs.languages[0])
    odd = dataclasses.replace(
        one,
        loss=np.where(np.arange(len(one)) == 3, 50.0, one.loss),
        weight=np.where(np.arange(len(one)) == 3, 0.0, 1.0),
    )
    without = one.select(np.arange(len(one)) != 3)
    options = {"law": "chinchilla", "draws": 0, "engine": "host"}
    np.testing.assert_allclose(
        fit(odd, **options).objective, fit(without, **options).objective, rtol=1e-3
    )
