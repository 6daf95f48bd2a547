"""Runs in whole windows: what they count and in which order they read."""

import collections
import dataclasses

import numpy as np
import pytest

from m3jax import M3Error
from m3jax.pilot import Trial, evenly_spread, reading_order

from .texts import LENGTH, TINY, predicted

TWO_STAGE = Trial.near(
    "x", TINY, length=LENGTH, batch=4, steps=50, target_tokens=24 * LENGTH, target_ratio=0.4,
    final_ratio=0.8, first_ratio=0.1, seed=3,
)  # fmt: skip


@pytest.mark.parametrize(("count", "places"), [(0, 7), (7, 7), (3, 8), (5, 13), (1, 100), (0, 0)])
def test_marks_are_as_many_as_asked_for_and_evenly_spread(count, places):
    marks = evenly_spread(count, places)
    assert (marks.shape, marks.sum()) == ((places,), count)
    if count:
        for width in (4, 5):
            inside = np.convolve(marks, np.ones(width), "valid") if places >= width else [0]
            assert np.ptp(inside) <= 1


def test_a_trial_counts_every_token():
    trial = TWO_STAGE
    assert trial.total_tokens == 50 * 4 * LENGTH
    assert trial.target_windows + trial.source_windows == 200
    assert trial.target_tokens == 24 * LENGTH
    assert trial.epochs * trial.target_tokens == trial.target_ratio * trial.total_tokens
    assert trial.target_ratio == pytest.approx(0.4)
    assert trial.first_ratio < trial.target_ratio < trial.final_ratio
    assert trial.compute == 6 * TINY.n_params * trial.total_tokens
    # The law's stage fraction, from the ratios, is the share of the steps.
    assert float(trial.recipe().stage_fraction) == pytest.approx((50 - trial.first_steps) / 50)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_keeps_to_the_run_asked_for(seed):
    rng = np.random.default_rng(seed)
    first, ratio, final = np.sort(rng.uniform(0.01, 1, 3))
    trial = Trial.near(
        "x", TINY, length=LENGTH, batch=4, steps=100, target_tokens=rng.integers(1, 5000),
        target_ratio=ratio, final_ratio=final, first_ratio=first, seed=0,
    )  # fmt: skip
    assert trial.target_ratio == pytest.approx(ratio, abs=1 / 400)
    assert trial.first_ratio <= trial.target_ratio <= trial.final_ratio <= 1
    if trial.first_steps:
        assert trial.final_ratio == pytest.approx(final, abs=0.02)
    trial.recipe()  # checks itself


def test_each_epoch_reads_every_window_once():
    target, source = np.arange(100) * LENGTH, 10_000 + np.arange(1000) * LENGTH
    trial = dataclasses.replace(TWO_STAGE, first_steps=0, first_target=0, final_target=90)
    order = reading_order(trial, target, source)
    assert order.shape == (50, 4)
    read = order.ravel()[order.ravel() < 10_000]
    assert len(read) == 90  # 3.75 epochs of 24 windows
    epochs = [read[i : i + 24] for i in range(0, 90, 24)]
    corpus = set(epochs[0])
    assert len(corpus) == 24
    assert corpus <= set(target)
    assert all(set(epoch) == corpus and len(epoch) == 24 for epoch in epochs[:3])
    assert len(set(epochs[3])) == 18
    assert set(epochs[3]) < corpus
    assert not np.array_equal(epochs[0], epochs[1])  # shuffled anew
    # To the token: each of the corpus is predicted as often as its epochs say.
    seen = collections.Counter(predicted(read).ravel().tolist())
    assert len(seen) == trial.target_tokens
    assert sum(seen.values()) == trial.epochs * trial.target_tokens
    assert set(seen.values()) == {3, 4}


def test_stages_have_their_ratios_to_the_window():
    target, source = np.arange(100), 10_000 + np.arange(1000)
    is_target = reading_order(TWO_STAGE, target, source) < 10_000
    before, after = is_target[: TWO_STAGE.first_steps], is_target[TWO_STAGE.first_steps :]
    assert before.sum() == TWO_STAGE.first_target
    assert after.sum() == TWO_STAGE.final_target
    assert before.mean() == TWO_STAGE.first_ratio
    assert after.mean() == TWO_STAGE.final_ratio
    for stage in (before, after):  # no batch has more than its share
        assert np.ptp(stage.sum(axis=1)) <= 1


def test_source_text_repeats_only_when_all_is_read():
    source = 10_000 + np.arange(30)
    order = reading_order(TWO_STAGE, np.arange(100), source).ravel()
    counts = collections.Counter(order[order >= 10_000].tolist())
    assert TWO_STAGE.source_windows == 120
    assert set(counts.values()) == {4}
    with pytest.raises(M3Error, match="the text has 160 to train on"):
        reading_order(TWO_STAGE, np.arange(10), source)


def test_order_depends_on_the_seed_alone():
    target, source = np.arange(100), 10_000 + np.arange(1000)
    same = reading_order(TWO_STAGE, target, source)
    assert np.array_equal(same, reading_order(TWO_STAGE, target, source))
    other = dataclasses.replace(TWO_STAGE, seed=4)
    assert not np.array_equal(same, reading_order(other, target, source))
