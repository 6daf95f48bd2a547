"""How wide draws are made by errors on held-out runs."""

import numpy as np
import pytest

from m3jax import Recipe
from m3jax.fitting.calibration import HeldOutRuns, draw_scales, posterior_scales

NOISE, SPREAD = 0.01, 0.01


def held_out(factor=1.0, *, bend=0.0, runs=20, holdouts=5, stray=0, seed=0):
    """Errors with the standard deviation that draws say times a factor, and bends in N."""
    rng = np.random.default_rng(seed)
    count = runs * holdouts
    distance = np.zeros((count, 5))
    distance[:, 0] = rng.uniform(0.5, 1.5, count) if bend else 0.0
    sd = np.sqrt(NOISE**2 + (factor * SPREAD) ** 2 + (bend * distance[:, 0]) ** 2)
    error = sd * rng.standard_normal(count)
    error[:stray] += 0.1
    nothing = Recipe(*[np.ones(count)] * 6)
    return HeldOutRuns(
        nothing, np.repeat(np.arange(holdouts), runs), error, np.full(count, SPREAD), distance
    )


def scales(*cases, draws=400, steps=1000):
    numbers = [np.random.default_rng([0, 7, 2]) for _ in cases]
    noises = [np.full(len(case.error), NOISE) for case in cases]
    return draw_scales(posterior_scales(list(cases), noises, numbers, steps), numbers, draws)


def test_draws_are_widened_by_as_much_as_errors_ask_for():
    as_told, wrong = held_out(), held_out(4.0)
    wider, _ = scales(as_told, wrong)
    assert np.all(wider >= 1)
    assert wider[0].mean() < 1.2
    assert 3 < wider[1].mean() < 5


def test_a_few_bad_runs_widen_nothing():
    wider, _ = scales(held_out(), held_out(stray=4))
    assert wider[1].mean() < wider[0].mean() + 0.15


def test_bends_are_learnt_from_errors_that_grow_with_distance():
    _, (straight, bent) = scales(held_out(), held_out(bend=0.1))
    assert np.median(bent[:, 0]) > 5 * np.median(straight[:, 0])
    assert np.median(bent[:, 0]) == pytest.approx(0.1, rel=0.4)
    ratio = np.median(bent[:, 1:], axis=0) / np.median(straight[:, 1:], axis=0)
    assert np.all(ratio < 3)  # in the other variables nothing was learnt but what all share


def with_distance_in(case, variable, *, bend, seed=0):
    """The same runs beyond the fitted ones in another variable too, where errors bend."""
    rng = np.random.default_rng([seed, 1])
    distance = case.beyond.copy()
    distance[:, variable] = rng.uniform(1.0, 2.0, len(distance))
    error = case.error + bend * distance[:, variable] * rng.standard_normal(len(distance))
    return case._replace(error=error, beyond=distance)


def test_a_law_that_bends_nowhere_is_believed_where_it_could_not_have_shown():
    """Errors say nothing of N here; that epochs and corpus do not bend says it for N."""
    held = held_out()
    straight = with_distance_in(with_distance_in(held, 1, bend=0.0), 2, bend=0.0)
    bent = with_distance_in(with_distance_in(held, 1, bend=0.0), 2, bend=0.1)
    _, (unknown, believed, doubted) = scales(held, straight, bent, steps=4000)
    assert np.mean(unknown[:, 0] == 0) == pytest.approx(0.05, abs=0.04)
    assert np.mean(believed[:, 0] == 0) > 0.6
    assert np.all(doubted > 0)


def test_of_few_runs_next_to_nothing_is_learnt():
    none = held_out(runs=1, holdouts=0)
    few, many = held_out(8.0, runs=3, holdouts=2), held_out(8.0)
    wider, bends = scales(none, few, many, steps=20_000)
    assert wider[0].mean() < wider[1].mean() < 2.5 < wider[2].mean()
    # With no evidence at all the prior: a median of 1.5, and each power bends by as much again.
    assert np.median(wider[0]) == pytest.approx(1.5, rel=0.15)
    assert np.median(bends[0, :, 2]) == pytest.approx(0.2 / np.log(10), rel=0.4)


def test_the_same_seed_gives_the_same_draws_whoever_is_beside():
    alone = scales(held_out(2.0))
    beside = scales(held_out(2.0), held_out(runs=40))
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-12)
