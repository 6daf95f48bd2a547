"""Which runs are held out."""

import numpy as np
import pytest

from m3jax import HOLDOUTS, M3Error, RunTable, holdout_mask
from m3jax.comparison import (
    splits,
)

from .tables import table


def held(runs: RunTable, holdout: str, **options) -> list[int]:
    mask = holdout_mask(runs, holdout, **options)
    assert mask.dtype == bool
    assert mask.shape == (len(runs),)
    return np.flatnonzero(mask).tolist()


STEPS = np.array([3.0, 1.0, 5.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("holdout", "columns", "expected"),
    [
        # Compute falls where model size rises, so that they tell each other apart.
        ("compute", {"n_params": 1e7 * STEPS, "epochs": 64 / STEPS**2}, 1),
        ("n_params", {"n_params": 1e7 * STEPS, "epochs": 64 / STEPS**2}, 2),
        ("total_tokens", {"epochs": STEPS, "target_ratio": 0.1 * STEPS**2 / 3}, 1),
        ("epochs", {"epochs": STEPS, "target_ratio": 0.1 * STEPS**2 / 3}, 2),
        ("target_tokens", {"target_tokens": 1e8 * STEPS}, 1),
        ("target_ratio", {"target_ratio": 0.1 * STEPS}, 1),
    ],
)
def test_the_far_end_is_held_out(holdout, columns, expected):
    runs = table(**columns)
    assert held(runs, holdout) == [expected]
    half = held(runs, holdout, fraction=0.5)
    assert expected in half
    assert len(half) == 3


def test_all_two_stage_runs_are_held_out():
    final = [0.5, 0.8, 0.5, 1.0, 0.5]
    assert held(table(final_ratio=final), "two-stage") == [1, 3]
    assert held(table(final_ratio=final), "two-stage", fraction=0.9) == [1, 3]


def test_every_holdout_has_been_tried():
    tried = {"compute", "n_params", "total_tokens", "epochs", "target_tokens", "target_ratio"}
    assert set(HOLDOUTS) == tried | {"two-stage", "folds", "language"}


def test_equal_values_go_together():
    assert held(table(epochs=[1, 2, 8, 8, 8, 8, 4, 3]), "epochs") == [2, 3, 4, 5]
    # 0.1 + 0.2 is 0.3 but for the last digit.
    ratio = [0.3, 0.1 + 0.2, 0.9, 0.8, 0.7, 0.6]
    assert held(table(target_ratio=ratio), "target_ratio") == [0, 1]


def test_the_near_end_stays_however_many_runs_are_there():
    assert held(table(epochs=[1, 1, 1, 1, 1, 1, 1, 1, 9]), "epochs", fraction=0.5) == [8]
    assert held(table(epochs=[1, 9, 9, 9, 9]), "epochs", fraction=0.2) == [1, 2, 3, 4]
    assert held(table(epochs=[1, 2, 3, 4]), "epochs", fraction=0.999) == [1, 2, 3]


def test_checkpoints_of_a_run_stay_together():
    runs = table(epochs=[1, 2, 1, 3, 1, 8], run_id=["a", "a", "b", "b", "c", "c"])
    assert held(runs, "epochs", fraction=0.1) == [4, 5]
    assert held(runs, "epochs", fraction=0.2) == [2, 3, 4, 5]


def test_each_language_has_a_far_end_of_its_own():
    runs = table(
        language=["x"] * 5 + ["y"] * 5,
        epochs=[*STEPS, *(STEPS[::-1] / 100)],
        run_id=[f"run{i % 5}" for i in range(10)],  # a run_id says nothing across languages
    )
    assert held(runs, "epochs") == [2, 7]


@pytest.mark.parametrize("holdout", [h for h in HOLDOUTS if h not in ("folds", "language")])
def test_what_does_not_vary_holds_nothing_out(holdout):
    assert held(table(loss=[3.0, 3.1, 3.2]), holdout) == []


def test_bad_holdouts_are_refused():
    runs = table(epochs=STEPS)
    with pytest.raises(M3Error, match="unknown hold-out 'epoch'; known: compute, n_params"):
        holdout_mask(runs, "epoch")
    for fraction in (0, 1, -0.2, 1.5, float("nan")):
        with pytest.raises(M3Error, match="fraction: expected a number between 0 and 1"):
            holdout_mask(runs, "epochs", fraction=fraction)


def test_folds_hold_every_cluster_out_once():
    runs = table(epochs=np.arange(1.0, 25.0), run_id=[f"run{i // 2}" for i in range(24)])
    parts = splits(runs, "folds", seed=1)
    held = np.stack([part.held for part in parts])
    assert len(parts) == 5
    np.testing.assert_array_equal(held.sum(axis=0), 1)
    np.testing.assert_array_equal(held[:, ::2], held[:, 1::2])  # checkpoints of a run
    assert all(np.array_equal(part.fitted, ~part.held) for part in parts)
    assert not np.array_equal(held[0], splits(runs, "folds", seed=2)[0].held)
    with pytest.raises(M3Error, match="several splits"):
        holdout_mask(runs, "folds")


def test_a_left_out_language_keeps_its_cheapest_runs():
    runs = table(language=["x"] * 6 + ["y"] * 6, epochs=[*range(1, 7)] * 2)
    parts = splits(runs, "language")
    assert [np.flatnonzero(part.held).tolist() for part in parts] == [[3, 4, 5], [9, 10, 11]]
    assert all(part.pooled for part in parts)
    assert splits(runs.for_language("x"), "language") == ()
