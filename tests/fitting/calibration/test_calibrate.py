"""Intervals that hold on real runs."""

import dataclasses
from importlib import resources

import jax
import numpy as np
import pandas as pd
import pytest

from benchmarks.support.priors import weak_prior
from benchmarks.support.synthetic import run_table, true_theta
from m3jax import M3Error, RunTable, fit, fit_in_chunks
from m3jax.comparison import holdout_mask
from m3jax.fitting import plan_fit
from m3jax.fitting.calibration import held_out_runs, hold_outs
from m3jax.laws import get_law
from m3jax.options import FitOptions

PILOT = resources.files("m3jax") / "data" / "pilot_debian.csv"


@pytest.fixture(scope="module")
def pilot():
    return RunTable.read(str(PILOT)).for_language("French")


def problem_of(runs, law="m3"):
    return plan_fit(runs, law, FitOptions(), lambda *_: None).problem


def test_the_far_ends_are_held_out_and_clusters_stay_together(pilot):
    problem = problem_of(pilot)
    language, axis, held = hold_outs(problem)
    assert language.tolist() == [0] * 5
    assert axis.tolist() == [0, 1, 2, 3, 4]
    ends = {mask.tobytes() for mask in held}
    for axis in ("compute", "epochs", "n_params", "target_tokens", "target_ratio"):
        mask = np.zeros(held.shape[1], dtype=bool)
        mask[: len(pilot)] = holdout_mask(pilot, axis)
        assert mask.tobytes() in ends
    pairs = dataclasses.replace(pilot, run_id=np.arange(len(pilot)) // 2)
    _, _, held = hold_outs(problem_of(pairs))
    halves = held[:, : len(pilot)].reshape(len(held), -1, 2)
    assert np.array_equal(halves[..., 0], halves[..., 1])


def test_a_hold_out_that_leaves_a_variable_constant_asks_nothing(pilot):
    sizes = np.unique(pilot.recipe.n_params)[:2]
    two = pilot.select(np.isin(pilot.recipe.n_params, sizes))
    larger = two.recipe.n_params == sizes[1]
    _, _, held = hold_outs(problem_of(two, "chinchilla"))
    assert not any(np.array_equal(mask[: len(two)], larger) for mask in held)


def test_too_few_runs_have_the_width_of_the_prior(pilot):
    few = fit(pilot.select(np.arange(len(pilot)) < 6), "chinchilla", draws=100)
    assert 1.2 < few.widening[0] < 2.2
    none = fit(pilot, draws=0)
    assert none.widening[0] == 1
    with pytest.raises(M3Error, match="no draws"):
        none.loss_interval(jax.tree.map(lambda leaf: leaf[:1], pilot.recipe))


def test_hold_outs_are_predicted_from_their_own_fits(pilot, monkeypatch):
    """Errors are those of fits that have not seen the runs, to within the search."""
    seen = []
    monkeypatch.setattr(
        "m3jax.fitting.calibration._calibrate.held_out_runs",
        lambda *given: seen.append(held_out_runs(*given)) or seen[-1],
    )
    fit(pilot, draws=20)
    (found,) = seen[0]
    held = holdout_mask(pilot, "epochs")
    without = fit(pilot.select(~held), draws=0, huber_delta=0.0063)
    recipe = jax.tree.map(lambda leaf: leaf[held], pilot.recipe)
    error = np.log(without.predict(recipe) / pilot.loss[held])
    place = [h for h in np.unique(found.holdout) if (found.holdout == h).sum() == held.sum()]
    closest = min(np.abs(found.error[found.holdout == h] - error).mean() for h in place)
    assert closest < 0.2 * np.abs(error).mean() + 0.005
    assert np.all(found.spread > 0)
    assert np.all(found.beyond >= 0)


@pytest.mark.slow
def test_real_runs_that_were_held_out_lie_inside(pilot):
    """The bootstrap's 90% intervals hold some 70% of them, calibrated ones nearly 90%."""
    inside = {"calibrated": [], "bootstrap": []}
    for axis in ("compute", "epochs", "n_params", "target_tokens", "target_ratio", "two-stage"):
        held = holdout_mask(pilot, axis)
        recipe = jax.tree.map(lambda leaf, held=held: leaf[held], pilot.recipe)
        for intervals, holds in inside.items():
            fits = fit(pilot.select(~held), intervals=intervals)
            low, high = fits.loss_interval(recipe, of_run=True)
            holds.append((low <= pilot.loss[held]) & (pilot.loss[held] <= high))
    calibrated, plain = (np.concatenate(inside[name]).mean() for name in inside)
    assert calibrated > 0.82
    assert calibrated > plain + 0.1


@pytest.mark.slow
def test_where_the_law_is_true_intervals_widen_little():
    runs = run_table(true_theta(12, 3), 100, 0.005, 4)
    plain, calibrated = (fit(runs, intervals=i) for i in ("bootstrap", "calibrated"))
    near = jax.tree.map(lambda leaf: leaf[:40], runs.recipe)
    ten_times = dataclasses.replace(near, n_params=np.full(40, 1e10))
    for recipe in (near, ten_times):
        width = []
        for fits in (plain, calibrated):
            spans = [fits.loss_interval(recipe, name) for name in fits.languages]
            width.append(np.mean([np.log(high / low) for low, high in spans]))
        assert width[0] < width[1] < 1.25 * width[0]
    assert calibrated.widening.mean() < 1.3
    assert np.mean(calibrated.bends == 0) > 0.8


def test_an_interval_holds_the_best_fit_and_widens_with_noise_and_distance(pilot):
    fits = fit(pilot, draws=100)
    recipe = jax.tree.map(lambda leaf: leaf[:10], pilot.recipe)
    best = fits.predict(recipe)
    low, high = fits.loss_interval(recipe)
    run_low, run_high = fits.loss_interval(recipe, of_run=True)
    assert np.all((run_low < low) & (low < best) & (best < high) & (high < run_high))
    np.testing.assert_allclose(low * high, best**2)
    wider = fits.loss_interval(recipe, level=0.99)
    assert np.all((wider[0] < low) & (high < wider[1]))
    larger = dataclasses.replace(recipe, n_params=100 * recipe.n_params)
    far_low, far_high = fits.loss_interval(larger)
    plain = dataclasses.replace(fits, bends=np.zeros_like(fits.bends)).loss_interval(larger)
    assert np.log(far_high / far_low).mean() > np.log(plain[1] / plain[0]).mean()


def test_bootstrap_intervals_are_percentiles_of_the_resampled_fits(pilot):
    fits = fit(pilot, draws=50, intervals="bootstrap")
    recipe = jax.tree.map(lambda leaf: leaf[:5], pilot.recipe)
    assert not fits.bends.any()
    assert fits.widening[0] == 1
    expected = np.quantile(np.log(fits.predict_draws(recipe)), [0.05, 0.95], axis=0)
    np.testing.assert_allclose(np.log(fits.loss_interval(recipe)), expected)


def few_runs_each(languages=40, seed=0):
    """Three corpora a language, and a fourth ten times the largest."""
    rng = np.random.default_rng(seed)
    scale, power = rng.standard_normal((2, languages, 1))
    tokens = np.array([1e6, 1e7, 1e8, 1e9])
    loss = 3 * np.exp(0.1 * scale) * (1 + 20 * tokens ** (-0.2 - 0.01 * power))
    loss *= np.exp(0.003 * rng.standard_normal(loss.shape))
    frame = pd.DataFrame(
        {
            "language": np.repeat([f"l{i}" for i in range(languages)], len(tokens)),
            "n_params": 1e8,
            "target_tokens": np.tile(tokens, languages),
            "epochs": 1.0,
            "loss": loss.ravel(),
        }
    )
    far = frame.target_tokens == tokens[-1]
    return RunTable.from_frame(frame[~far]), RunTable.from_frame(frame[far])


def far_widths(fits, far):
    """Log widths of the intervals of runs, one a language, and whether they hold, (L,) each."""
    low, high = np.transpose(
        [
            fits.loss_interval(
                jax.tree.map(lambda leaf, i=i: leaf[i], far.recipe), name, of_run=True
            )
            for i, name in enumerate(far.language)
        ]
    )
    return np.log(high / low), (low < far.loss) & (far.loss < high)


def test_languages_with_few_runs_learn_together_how_far_to_trust_them():
    """With three runs each the prior's width is far too wide; hold-outs of all tell so."""
    runs, far = few_runs_each()
    pooled, inside = far_widths(fit(runs, "chinchilla", pool="partial", draws=100), far)
    prior = weak_prior(get_law("chinchilla"))
    alone, _ = far_widths(fit(runs, "chinchilla", prior=prior, draws=100), far)
    plain, _ = far_widths(
        fit(runs, "chinchilla", pool="partial", draws=100, intervals="bootstrap"), far
    )
    assert inside.mean() >= 0.85
    assert plain.mean() < pooled.mean() < 1.4 * plain.mean()
    assert pooled.mean() < 0.2 * alone.mean()


def test_pooled_fits_in_chunks_are_those_of_one_call(tmp_path):
    runs, _ = few_runs_each(12)
    whole = fit(runs, "chinchilla", pool="partial", draws=20)
    parts = fit_in_chunks(
        runs, "chinchilla", pool="partial", draws=20, checkpoint=tmp_path / "parts", chunk=5
    )
    np.testing.assert_array_equal(whole.bends, parts.bends)
    np.testing.assert_array_equal(whole.widening, parts.widening)
