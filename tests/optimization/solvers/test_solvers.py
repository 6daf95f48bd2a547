"""The solvers of the optimiser: against each other, geometric programs, proofs, derivatives."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.studies import agreement
from benchmarks.support import recipes as _recipes
from benchmarks.support.synthetic import true_theta
from m3jax import M3Error, Recipe, optimize
from m3jax.fitting import Fits
from m3jax.laws import get_law
from m3jax.optimization import (
    Question,
    best_recipe,
    compute_gain,
    loss_given_up,
    sensitivities,
)
from m3jax.optimization.solvers import above_text, chord, repetition, text
from m3jax.options import Limits
from m3jax.recipe import MONOLINGUAL, REGIMES, SINGLE_STAGE, TWO_STAGE

NONE = np.inf


def fits_of(law: str, languages: int = 4, draws: int = 0, seed: int = 3) -> Fits:
    fits = _recipes.fits_of(languages, seed, law)
    jitter = np.random.default_rng(1).normal(0, 0.01, (languages, draws, fits.theta.shape[1]))
    return dataclasses.replace(fits, draws=fits.theta[:, None] + jitter)


@pytest.mark.slow
def test_the_solvers_agree_with_each_other_and_with_cvxpy(monkeypatch, capsys):
    pytest.importorskip("cvxpy")
    monkeypatch.setattr("sys.argv", ["agreement", "--problems", "20", "--json"])
    assert agreement.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["solvable"] >= 14
    assert result["patterns_of_active_limits"] >= 8
    assert 0 <= result["max_gap"] < 1e-7
    assert result["cvxpy"]["same_solvable"]
    assert result["cvxpy"]["max_difference"] < 1e-6
    assert result["general"]["same_solvable"]
    assert result["general"]["max_difference"] < 1e-5


# Proofs for m3


def test_bends_and_their_derivatives():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        k, r = jnp.asarray(rng.uniform(-2, 5, 200)), jnp.asarray(rng.uniform(-4, 0, 200))
        shape = jnp.asarray(rng.uniform(-3, 5, 200))
        for bend in (lambda k, r, s: repetition(k, s), text):
            _, by_k, by_r, kk, kr, rr = bend(k, r, shape)
            first = jax.vmap(jax.grad(lambda k, r, s, b=bend: b(k, r, s)[0], (0, 1)))(k, r, shape)
            second = jax.vmap(jax.hessian(lambda k, r, s, b=bend: b(k, r, s)[0], (0, 1)))(
                k, r, shape
            )
            np.testing.assert_allclose(by_k, first[0], atol=1e-9)
            np.testing.assert_allclose(by_r, first[1], atol=1e-9)
            np.testing.assert_allclose(kk, second[0][0], atol=1e-7)
            np.testing.assert_allclose(kr, second[0][1], atol=1e-7)
            np.testing.assert_allclose(rr, second[1][1], atol=1e-7)


@pytest.mark.slow
def test_planes_bound_the_bends_in_every_box():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        for _ in range(50):
            low = np.array([rng.uniform(-1, 3), rng.uniform(-4, -0.2)])
            high = np.array([low[0] + rng.uniform(0, 4), rng.uniform(low[1], 0)])
            k = np.linspace(low[0], high[0], 30)[:, None]
            r = np.linspace(low[1], high[1], 30)[None]
            shape = rng.uniform(-4, 4)
            a, b, c = above_text(low, high, shape)
            assert np.min(a + b * k + c * r - text(k, r, shape)[0]) >= -1e-12
            a, b = chord(lambda k, s=shape: repetition(k, s)[0], low[0], high[0])
            assert np.max(a + b * k - repetition(jnp.asarray(k), shape)[0]) <= 1e-12


@pytest.mark.slow
def test_certified_recipes_of_m3():
    fits = fits_of("m3", 6)
    options = {"compute": [1e19, 3e20], "target_tokens": [2e7, 3e8], **_recipes.BOUNDS}
    found = optimize(fits, certify=True, **options)
    assert np.all(found.gap <= 1e-4)
    assert np.all(found.gap >= 0)
    fast = optimize(fits, **options)
    assert np.all(~np.isfinite(fast.gap))
    np.testing.assert_allclose(np.log(fast.loss), np.log(found.loss), atol=1e-6)
    # Nothing a dense sample of allowed recipes holds lies below the bound.
    rng = np.random.default_rng(0)
    k, r = np.exp(rng.uniform(0, np.log(64), 20_000)), np.exp(rng.uniform(np.log(0.05), 0, 20_000))
    n = np.minimum(3e20 * r / (6 * k * 2e7), np.exp(rng.uniform(np.log(1e7), np.log(1e12), 20_000)))
    sample = fits.predict(
        Recipe.create(n_params=n, target_tokens=2e7, epochs=k, target_ratio=r), fits.languages[0]
    )
    assert sample[n >= 1e7].min() >= found.loss[0, 1, 0] * np.exp(-found.gap[0, 1, 0])


@pytest.mark.slow
def test_certified_under_a_cap_on_source_text():
    fits = fits_of("m3_posynomial", 3)
    options = {"compute": [1e20], "target_tokens": [3e7], "max_source_tokens": 2e9}
    found = optimize(fits, certify=True, **options, **_recipes.BOUNDS)
    assert np.all(found.recipe.source_tokens <= 2e9 * (1 + 1e-7))
    assert np.all(found.gap <= 1e-4)
    general = optimize(fits, method="general", **options, **_recipes.BOUNDS)
    np.testing.assert_allclose(general.loss, found.loss, rtol=1e-5)
    twice = optimize(fits, max_source_epochs=2.0, **options, **_recipes.BOUNDS)
    assert np.all(twice.loss <= found.loss + 1e-9)


def test_what_cannot_be_proven_is_refused():
    fits = fits_of("m3", 1)
    options = {"compute": 1e20, "target_tokens": 1e8}
    with pytest.raises(M3Error, match="certify=True needs a law made of terms"):
        optimize(fits, certify=True, constraints=lambda recipe: recipe.epochs - 4, **options)
    with pytest.raises(M3Error, match="method: expected 'auto'"):
        optimize(fits, method="magic", **options)


# Limits


@pytest.mark.slow
def test_a_ladder_of_sizes():
    fits = fits_of("m3", 3)
    ladder = [3e7, 1e8, 4e8, 1.6e9]
    options = {"compute": 1e20, "target_tokens": 1e8, **_recipes.BOUNDS}
    found = optimize(fits, ladder=ladder, **options)
    sizes = found.recipe.n_params.ravel()
    assert np.all(np.min(np.abs(np.log(sizes[:, None] / ladder)), axis=1) < 1e-9)
    each = [optimize(fits, **{**options, "n_params": (n, n)}).loss for n in ladder]
    np.testing.assert_allclose(found.loss, np.min(each, axis=0), rtol=1e-7)
    with pytest.raises(M3Error, match="no size of the ladder"):
        optimize(fits, ladder=[1e3], **options)


@pytest.mark.slow
def test_serving_makes_models_smaller():
    fits = fits_of("m3", 3)
    options = {"compute": 1e20, "target_tokens": 3e8, **_recipes.BOUNDS}
    found = optimize(fits, inference_tokens=1e11, **options)
    r = found.recipe
    spent = r.compute + 2 * r.n_params * 1e11
    assert np.all(spent <= 1e20 * (1 + 1e-7))
    assert np.all(r.n_params < optimize(fits, **options).recipe.n_params)


@pytest.mark.slow
def test_gpu_hours():
    fits = fits_of("m3", 2)
    options = {"target_tokens": 3e8, **_recipes.BOUNDS}
    hours = 1e20 / (3600 * 4e14)
    found = optimize(fits, compute=1e21, max_gpu_hours=hours, flops_per_second=4e14, **options)
    np.testing.assert_allclose(found.loss, optimize(fits, compute=1e20, **options).loss, rtol=1e-8)
    assert "gpu_hours" in found.active(0, 0, 0)
    with pytest.raises(M3Error, match="max_gpu_hours: needs flops_per_second"):
        optimize(fits, compute=1e21, max_gpu_hours=1.0, **options)


@pytest.mark.slow
def test_lowest_first_ratio():
    fits = fits_of("m3", 2)
    bounds = _recipes.BOUNDS | {"first_share": 0.3}
    found = optimize(fits, compute=1e20, target_tokens=3e8, min_first_ratio=0.1, **bounds)
    assert np.all(found.by_regime.first_ratio[..., TWO_STAGE] >= 0.1 / (1 + 1e-8))
    none = optimize(fits, compute=1e20, target_tokens=3e8, min_first_ratio=0.1, **_recipes.BOUNDS)
    assert not np.isfinite(none.by_regime_loss[..., TWO_STAGE]).any()


@pytest.mark.slow
def test_constraints_of_ones_own():
    fits = fits_of("m3", 2)
    options = {"compute": 1e20, "target_tokens": 3e8, **_recipes.BOUNDS}

    def at_most_four(recipe):
        return jnp.log(recipe.epochs) - jnp.log(4.0)

    found = optimize(fits, constraints=at_most_four, **options)
    bounded = optimize(fits, **{**options, "epochs": (1.0, 4.0)})
    np.testing.assert_allclose(found.loss, bounded.loss, rtol=1e-5)
    with pytest.raises(M3Error, match="constraints given as functions cannot be kept"):
        optimize(fits, constraints=lambda recipe: recipe.epochs * 0 + 1.0, **options)


@pytest.mark.slow
def test_a_cap_on_the_loss_on_source_text():
    fits = fits_of("m3", 2)
    # More source tokens, lower source loss.
    source = fits_of("m3", 2)
    theta = source.theta.copy()
    theta[:, source.law.names.index("gamma")] = -0.1
    source = dataclasses.replace(source, theta=theta)
    options = {"compute": 1e20, "target_tokens": 3e8, **_recipes.BOUNDS}
    free = optimize(fits, **options)
    at = [source.predict(free.at(i, 0, 0), source.languages[i]) for i in range(2)]
    cap = 0.98 * min(float(a) for a in at)
    found = optimize(fits, source_fits=source, max_source_loss=cap, **options)
    for i in range(2):
        assert source.predict(found.at(i, 0, 0), source.languages[i]) <= cap * (1 + 1e-6)
    assert np.all(found.loss >= free.loss - 1e-9)


def test_limits_that_clash_are_the_fewest():
    fits = fits_of("m3", 1)
    with pytest.raises(M3Error) as error:
        optimize(
            fits,
            compute=1e18,
            target_tokens=1e9,
            n_params=(1e9, 1e10),
            epochs=(4.0, 8.0),
            max_total_tokens=1e11,
        )
    told = str(error.value).partition("these limits clash: ")[2].split(", ")
    assert told == ["compute", "lowest n_params", "lowest epochs"] or told == [
        "compute",
        "lowest n_params",
        "lowest epochs",
        "highest target_ratio",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ladder": []}, "ladder: expected positive"),
        ({"inference_tokens": -1.0}, "inference_tokens"),
        ({"max_source_loss": 3.0}, "expected both or neither"),
        ({"max_epochs": 3.0}, "unknown option 'max_epochs'"),
        ({"objective": "best"}, "objective: expected 'point'"),
        ({"objective": "mean"}, "needs bootstrap draws"),
    ],
)
def test_bad_limits_are_refused(options, words):
    with pytest.raises(M3Error, match=words):
        optimize(fits_of("m3", 1), compute=1e20, target_tokens=1e8, **options)


# Worth


@pytest.mark.slow
def test_compute_gain_and_loss_given_up():
    fits = fits_of("m3", 4)
    options = {"target_tokens": 3e7, **_recipes.BOUNDS}
    found = optimize(fits, compute=1e20, **options)
    gain = compute_gain(found)
    assert np.all(gain >= 1)
    given_up = loss_given_up(found)
    assert np.all(given_up.min(axis=-1) == 0)
    for i in range(4):
        if not 1 < gain[i, 0, 0] < np.inf:
            continue
        more = optimize(
            fits, compute=1e20 * gain[i, 0, 0], languages=[fits.languages[i]], **options
        )
        mono = more.by_regime_loss[0, 0, 0, MONOLINGUAL]
        assert mono == pytest.approx(found.loss[i, 0, 0], rel=1e-6)
    with pytest.raises(M3Error, match="unknown regime"):
        compute_gain(found, "trilingual")


@pytest.mark.slow
def test_objectives_over_the_draws():
    fits = fits_of("m3", 2, draws=12)
    options = {"compute": 1e20, "target_tokens": 1e8, **_recipes.BOUNDS}
    found = {
        name: optimize(fits, objective=name, **options) for name in ("point", "mean", "regret")
    }
    for i, language in enumerate(fits.languages):
        draws = {n: fits.predict_draws(f.at(i, 0, 0), language) for n, f in found.items()}
        assert np.mean(draws["mean"]) <= np.mean(draws["point"]) + 1e-6
        assert found["regret"].loss[i, 0, 0] >= found["point"].loss[i, 0, 0] - 1e-9


# Derivatives


def question_of(compute=1e20, tokens=1e8, **more) -> Question:
    values = {
        "compute": compute,
        "target_tokens": tokens,
        "low": np.array([1e7, 1.0, 0.05, 0.05]),
        "high": np.array([1e12, 64.0, 1.0, 1.0]),
        "stage_low": 0.1,
        "stage_high": 0.6,
        "first_share": 0.0,
        "first_ratio": 0.0,
        "total_tokens": NONE,
        "source_tokens": NONE,
        "inference_tokens": 0.0,
        "gpu_flops": NONE,
    }
    return Question(**values | more)


@pytest.mark.slow
def test_derivatives_agree_with_central_differences():
    """Of loss and variables, in budget, corpus, a coefficient and a bound, free and active."""
    law = get_law("m3")
    theta = true_theta(1, 3)[0]

    def answer(x):
        high = jnp.exp(jnp.log(jnp.array([1e12, 1.0, 1.0, 1.0])).at[1].set(x[3]))
        question = question_of(1e20 * jnp.exp(x[0]), 1e8 * jnp.exp(x[1]), high=high)
        at = jnp.asarray(theta).at[4].add(x[2])
        loss, recipe = best_recipe(law, at, question, regimes=(SINGLE_STAGE,))
        values = jnp.stack([loss, recipe.n_params, recipe.epochs, recipe.target_ratio])
        return jnp.log(values), jnp.log(values)

    with jax.enable_x64(True):
        both = jax.jit(jax.jacrev(answer, has_aux=True))
        for log_most, active in ((np.log(64.0), False), (np.log(3.0), True)):
            at = np.array([0.0, 0.0, 0.0, log_most])
            exact, here = both(at)
            assert (abs(here[2] - log_most) < 1e-9) == active
            step = 1e-4 * np.eye(4)
            central = np.stack([(both(at + s)[1] - both(at - s)[1]) / 2e-4 for s in step], axis=1)
            np.testing.assert_allclose(exact, central, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_best_recipe_is_what_optimize_finds():
    law, fits = get_law("m3"), fits_of("m3", 2)
    found = optimize(fits, compute=1e20, target_tokens=1e8, **_recipes.BOUNDS)
    with jax.enable_x64(True):
        one = jax.jit(lambda theta: best_recipe(law, theta, question_of()))
        for i in range(2):
            loss, recipe = one(jnp.asarray(fits.theta[i]))
            assert float(loss) == pytest.approx(found.loss[i, 0, 0], rel=1e-8)
            assert float(recipe.epochs) == pytest.approx(found.recipe.epochs[i, 0, 0], rel=1e-4)


@pytest.mark.slow
def test_sensitivities():
    fits = fits_of("m3", 3)
    options = {"target_tokens": 1e8, **_recipes.BOUNDS}
    found = optimize(fits, compute=1e20, **options)
    up, down = (optimize(fits, compute=1e20 * np.exp(s), **options) for s in (1e-3, -1e-3))
    for i in range(3):
        told = sensitivities(found, i, 0, 0)
        assert told.regime == REGIMES[found.regime[i, 0, 0]]
        slope = np.log(up.loss[i, 0, 0] / down.loss[i, 0, 0]) / 2e-3
        assert told.elasticity["compute"]["loss"] == pytest.approx(slope, rel=1e-3)
        assert any("10% more compute lowers the loss by" in price for price in told.prices)
        assert told.elasticity["compute"]["loss"] == pytest.approx(
            -found.multipliers[i, 0, 0, 0], rel=1e-4
        )


@pytest.mark.slow
def test_a_kink_is_said():
    fits = fits_of("m3", 1)
    bounds = _recipes.BOUNDS | {"target_ratio": (0.05, 0.9), "final_ratio": (0.05, 0.9)}
    free = optimize(fits, compute=1e20, target_tokens=3e8, **bounds)
    assert not sensitivities(free, 0, 0, 0).kinks
    # A bound put exactly where the optimum is anyway.
    at = float(free.recipe.epochs[0, 0, 0])
    assert 1 < at < 64
    edge = optimize(fits, compute=1e20, target_tokens=3e8, **bounds | {"epochs": (1.0, at)})
    kinks = sensitivities(edge, 0, 0, 0).kinks
    assert any("most epochs allowed: on the edge of mattering" in kink for kink in kinks)


def test_a_ladder_is_sorted():
    assert Limits.of(ladder=[2e8, 1e8]).ladder == (1e8, 2e8)
