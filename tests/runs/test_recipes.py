"""Recipes from columns: lengths and ratios that follow from others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from m3jax.runs import RunTable

from .tables import frame, refused, same


def test_ratio_defaults() -> None:
    runs = RunTable.from_frame(frame(final_ratio=[0.5, 1.0, 1.0]))
    np.testing.assert_array_equal(runs.recipe.first_ratio, [0.5, 0.0, 1.0])
    runs = RunTable.from_frame(frame())
    np.testing.assert_array_equal(runs.recipe.final_ratio, [0.5, 0.5, 1.0])
    runs = RunTable.from_frame(frame(target_ratio=None))
    np.testing.assert_array_equal(runs.recipe.target_ratio, 1.0)


def test_ratios_tolerate_rounding() -> None:
    off = 1e-10
    runs = RunTable.from_frame(
        frame(
            target_ratio=[0.5, 0.5, 1 + off],
            final_ratio=[0.5 - off / 4, 1 + off, 1 - off],
            first_ratio=[0.5 + off / 4, 0.1, 1 + off],
        )
    )
    np.testing.assert_array_equal(runs.recipe.target_ratio, [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(runs.recipe.final_ratio, [0.5, 1.0, 1.0])
    np.testing.assert_array_equal(runs.recipe.first_ratio, [0.5, 0.1, 1.0])


def test_final_ratio_without_target_ratio() -> None:
    with refused("row 1, column 'final_ratio': found 0.5, expected target_ratio (1 if not given)"):
        RunTable.from_frame(frame(target_ratio=None, final_ratio=0.5))


TOTAL = np.array([4e6, 8e6, 8e6])

COMPUTE = 6 * np.array([1e6, 1e6, 2e6]) * TOTAL


@pytest.mark.parametrize("given", [{"total_tokens": TOTAL}, {"compute": COMPUTE}])
@pytest.mark.parametrize("absent", ["epochs", "target_tokens"])
def test_total_tokens_or_compute_stand_in(given: dict[str, Any], absent: str) -> None:
    runs = RunTable.from_frame(frame(**{absent: None}, **given))
    full = RunTable.from_frame(frame())
    np.testing.assert_allclose(runs.recipe.epochs, full.recipe.epochs, rtol=1e-14)
    np.testing.assert_allclose(runs.recipe.target_tokens, full.recipe.target_tokens, rtol=1e-14)
    assert runs.notes == ()


@pytest.mark.parametrize("given", [{"total_tokens": TOTAL}, {"compute": COMPUTE}])
def test_one_epoch_over_unique_text(given: dict[str, Any]) -> None:
    runs = RunTable.from_frame(frame(epochs=None, target_tokens=None, **given))
    np.testing.assert_allclose(runs.recipe.target_tokens, [2e6, 4e6, 8e6], rtol=1e-14)
    np.testing.assert_array_equal(runs.recipe.epochs, 1.0)
    assert len(runs.notes) == 1
    assert "one epoch over unique text" in runs.notes[0]


def test_consistent_lengths_are_accepted() -> None:
    table = frame(total_tokens=TOTAL * 1.009, compute=COMPUTE)
    same(RunTable.from_frame(table), RunTable.from_frame(frame()))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"total_tokens": TOTAL * [1, 1.02, 1]}, "'epochs', 'target_ratio', 'total_tokens'"),
        ({"total_tokens": TOTAL * [1, 0.98, 1]}, "'epochs', 'target_ratio', 'total_tokens'"),
    ],
)
def test_contradicting_lengths(changes: dict[str, Any], names: str) -> None:
    with refused("<table>, row 2, columns", names, "found", "to within 1%"):
        RunTable.from_frame(frame(**changes))


@pytest.mark.parametrize("lengths", [{}, {"epochs": None, "total_tokens": TOTAL}])
def test_measured_compute_beside_tokens_is_kept_to_and_told(lengths: dict[str, Any]) -> None:
    runs = RunTable.from_frame(frame(compute=COMPUTE * [0.74, 1.01, 1.07], **lengths))
    full = RunTable.from_frame(frame())
    np.testing.assert_allclose(runs.recipe.total_tokens, full.recipe.total_tokens, rtol=1e-14)
    (note,) = runs.notes
    assert note.startswith("compute is 0.74 to 1.07 times 6 * n_params * total_tokens, 1.01 at")


@pytest.mark.parametrize("lengths", [{}, {"epochs": None, "total_tokens": TOTAL}])
@pytest.mark.parametrize(
    ("times", "row", "words"),
    [
        ([1.0, 3.0, 1.0], 2, "0.5 to 2 times 6 * n_params * total_tokens, not 3 times"),
        ([1e-9, 1e-9, 1e-9], 1, "not 1e-09 times (another unit? units={'compute': 'FACTOR'}"),
    ],
)
def test_compute_that_was_not_measured_on_these_runs_is_refused(
    lengths: dict[str, Any], times: list[float], row: int, words: str
) -> None:
    with refused(f"<table>, row {row}, columns", "'compute'", words):
        RunTable.from_frame(frame(compute=COMPUTE * times, **lengths))


def test_blank_lengths_matter_only_where_needed() -> None:
    blank = [4e6, np.nan, 8e6]
    same(RunTable.from_frame(frame(total_tokens=blank)), RunTable.from_frame(frame()))
    filled = frame(epochs=None, total_tokens=blank, compute=COMPUTE)
    np.testing.assert_allclose(RunTable.from_frame(filled).recipe.epochs, [2.0, 2.0, 4.0])
    with refused("row 2, column 'total_tokens': found a blank cell"):
        RunTable.from_frame(frame(epochs=None, total_tokens=blank))
