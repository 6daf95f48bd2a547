"""The best regime, and ties."""

import numpy as np

from m3jax.optimization.solvers import REGIME_TIE, best_regime


def test_the_simplest_of_equals_is_best():
    tie = 0.9 * REGIME_TIE
    log_loss = np.array([[1.0, 1.0 + tie, 1.0 + 3 * tie], [1.0, 1.0, 1.0], [0.9, 1.0, 1.0 - tie]])
    assert best_regime(log_loss).tolist() == [2, 0, 1]


def test_a_regime_must_beat_the_simplest_and_not_one_that_is_no_better_than_it():
    # One stage is the monolingual recipe but for rounding: it is no band beside two stages.
    log_loss = np.array([[1.0], [1.0 - 1e-13], [1.0 - REGIME_TIE - 5e-14]])
    assert best_regime(log_loss).tolist() == [2]


def test_no_regime_where_none_is_allowed():
    none = np.inf
    log_loss = np.array([[none, none], [none, 1.0], [none, none]])
    assert best_regime(log_loss).tolist() == [-1, 1]
