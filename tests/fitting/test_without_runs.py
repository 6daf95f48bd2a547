"""From no runs to many: what public tables say, and how runs take its place."""

import jax
import numpy as np
import pandas as pd
import pytest

from benchmarks.support.synthetic import draw_recipes
from m3jax import Fits, M3Error, Prior, Recipe, RunTable, fit, optimize
from m3jax.fitting import Evidence, fit_without_runs, predict
from m3jax.laws import get_law

BASE = Recipe.create(
    n_params=np.array([4e8]), target_tokens=np.array([2e9]), epochs=np.array([2.0]),
    target_ratio=np.array([0.4]),
)  # fmt: skip


@pytest.fixture(scope="module")
def evidence():
    return Evidence.public()


@pytest.fixture(scope="module")
def nothing(evidence):
    return fit_without_runs(evidence, "new", draws=200)


def test_the_draws_are_the_evidence(evidence, nothing):
    assert nothing.draws.shape == (1, 200, 14)
    x = np.linalg.solve(evidence.centre, nothing.draws[0].T).T
    exponent = evidence.law.names.index("alpha")
    sd = np.sqrt(evidence.cov[exponent, exponent])
    assert x[:, exponent].mean() == pytest.approx(evidence.mean[exponent], abs=0.01)
    assert x[:, exponent].std() == pytest.approx(sd, rel=0.15)
    # The loss at the reference is a typical one, whatever the terms that it is made of.
    losses = np.log(predict(evidence.law, nothing.draws[0], BASE)[:, 0])
    assert losses.mean() == pytest.approx(evidence.typical[0], abs=0.05)
    assert losses.std() == pytest.approx(evidence.typical[1], rel=0.15)


def test_the_size_of_models_is_as_published(nothing):
    """One epoch of the target language alone: 5 to 100 tokens a parameter."""
    answer = optimize(
        nothing, compute=1e21, target_tokens=1e13, target_ratio=(1, 1), epochs=(0.001, 1), draws=0
    )
    recipe = answer.at(0, 0, 0)
    assert 5 < recipe.total_tokens / recipe.n_params < 100


def test_it_is_a_fit_like_any_other(nothing, tmp_path):
    path = nothing.save(tmp_path / "fits.json")
    again = Fits.load(path)
    np.testing.assert_array_equal(again.draws, nothing.draws)
    assert again.grades == ("weak",)
    low, high = again.loss_interval(BASE)
    assert low < again.predict(BASE) < high
    assert again.grounds[0].ranges["n_params"][1] > 1e10


def runs_of(theta, count, evidence, seed):
    """Runs of one language, of sizes that a small team trains."""
    recipe = draw_recipes(count, np.random.default_rng(seed))
    loss = predict(evidence.law, theta[None], recipe)[0]
    noise = evidence.noise * np.random.default_rng([seed, 1]).standard_normal(count)
    frame = pd.DataFrame({name: np.asarray(leaf) for name, leaf in vars(recipe).items()})
    return frame.assign(loss=loss * np.exp(noise), language="one")


@pytest.mark.slow
def test_from_no_runs_to_sixty_intervals_narrow_and_hold(evidence):
    """Of differences of log loss between recipes, which decide; eight made-up languages."""
    truths = fit_without_runs(evidence, "truths", draws=8, seed=77).draws[0]
    asked = draw_recipes(20, np.random.default_rng(5))
    widths, holds = [], []
    for count in (0, 1, 4, 16, 60):
        width, held = [], []
        for i, theta in enumerate(truths):
            truth = _differences(predict(evidence.law, theta[None], asked))[0]
            if count:
                runs = RunTable.from_frame(runs_of(theta, count, evidence, i))
                fits = fit(runs, "m3", prior="public", draws=100)
            else:
                fits = fit_without_runs(evidence, "one", draws=100)
            low, high = np.quantile(_differences(fits.predict_draws(asked)), [0.05, 0.95], axis=0)
            width.append(np.mean(high - low))
            held.append(np.mean((low <= truth) & (truth <= high)))
        widths.append(np.mean(width))
        holds.append(np.mean(held))
    assert min(holds) > 0.8, holds
    # One run changes little; from there on more narrow.
    assert widths[1] < 1.5 * widths[0]
    assert np.all(np.diff(widths[1:]) < 0), widths
    assert widths[-1] < 0.1 * widths[0]


def _differences(losses):
    """Log losses (B, m) less the first recipe's, (B, m − 1)."""
    logs = np.log(losses)
    return logs[:, 1:] - logs[:, :1]


def test_a_single_run_is_enough_with_the_public_prior(evidence, nothing):
    frame = runs_of(nothing.theta[0], 1, evidence, 3)
    fits = fit(RunTable.from_frame(frame), prior="public", draws=40)
    assert fits.languages == ("one",)
    assert fits.ground_notes(0) == ("its recipe rests on public run tables: 1 run of its own",)
    answer = optimize(fits, compute=1e21, target_tokens=2e9, objective="mean_log", draws=40)
    assert answer.recipe.n_params[0, 0, 0] > 1e8
    with pytest.raises(M3Error, match="needs at least 3"):
        fit(RunTable.from_frame(frame)).require_any()


def test_the_level_of_losses_is_the_runs_own(evidence, nothing):
    """In another unit the coefficients are other ones and the recipe is the same."""
    frame = runs_of(nothing.theta[0], 6, evidence, 3)
    fits, bits = (
        fit(RunTable.from_frame(frame.assign(loss=frame.loss * unit)), prior="public", draws=0)
        for unit in (1.0, 1.4427)
    )
    ratio = bits.predict(BASE, "one") / fits.predict(BASE, "one")
    assert ratio == pytest.approx(1.4427, rel=1e-3)
    recipes = [
        optimize(f, compute=1e21, target_tokens=2e9, draws=0).at(0, 0, 0) for f in (fits, bits)
    ]
    assert recipes[0].n_params == pytest.approx(recipes[1].n_params, rel=0.01)


def test_with_many_runs_the_prior_has_little_say(evidence, nothing):
    frame = runs_of(nothing.theta[0], 100, evidence, 3)
    public, weak = (
        fit(RunTable.from_frame(frame), prior=prior, draws=0) for prior in ("public", "weak")
    )
    asked = draw_recipes(20, np.random.default_rng(5))
    np.testing.assert_allclose(public.predict(asked), weak.predict(asked), rtol=0.02)


def test_the_joint_prior_reads_as_ranges_too(evidence):
    prior = Prior.public(get_law("m3"))
    low, high = prior.ranges["alpha"]
    assert (low + high) / 2 == pytest.approx(evidence.mean[2], rel=1e-3)
    assert prior.joint is not None
    assert Prior.public(get_law("chinchilla")).joint is None
    assert "arXiv:2305.16264" in prior.source


def test_a_file_that_is_none_is_refused(evidence):
    content = evidence.to_dict()
    again = Evidence.from_dict(content, "a file")
    np.testing.assert_allclose(again.mean, evidence.mean)
    assert jax.tree.map(str, again.scope) == jax.tree.map(str, evidence.scope)
    with pytest.raises(M3Error, match='expected "kind"'):
        Evidence.from_dict({**content, "kind": "other"}, "a file")
    with pytest.raises(M3Error, match="its coefficients are not those of law m3"):
        Evidence.from_dict({**content, "coefficients": ["A"]}, "a file")


def test_two_stage_exponents_carry_doubt(evidence):
    low, high = evidence.law.theta_start()
    for name in ("eta", "theta"):
        j = evidence.law.names.index(name)
        assert np.sqrt(evidence.cov[j, j]) >= 0.99 * (high[j] - low[j]) / 2
