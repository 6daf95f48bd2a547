"""`repeat_aware` on the public runs."""

import math

import numpy as np
import pytest

from benchmarks.studies import repeat_aware

from ...conftest import call_script, is_finite

CELL = {
    "target_tokens", "total_tokens", "runs", "measured_ratio", "predicted_ratio", "abs_dlog_r",
}  # fmt: skip
AHEAD = {
    "fitted_runs", "horizon_runs", "recommended_ratio", "recommended_epochs", "tokens_spent",
    "predicted_loss", "loss_at_recommended", "best_measured_loss", "best_measured_ratio", "excess",
}  # fmt: skip


@pytest.fixture(scope="module")
def result(shared_data):
    return repeat_aware.study(shared_data)


@pytest.mark.slow
def test_the_best_ratio_is_where_it_was_measured(result):
    assert result["r2"] >= 0.987
    assert result["mean_abs_dlog_r"] <= 0.10
    assert is_finite(result)
    assert set(result) == {"runs", "objective", "r2", "mean_abs_dlog_r", "cells", "ahead"}
    cells = result["cells"]
    assert len(cells) == 9
    assert all(set(cell) == CELL for cell in cells)
    assert sum(cell["runs"] for cell in cells) == result["runs"]
    errors = [abs(math.log(c["predicted_ratio"] / c["measured_ratio"])) for c in cells]
    assert [cell["abs_dlog_r"] for cell in cells] == pytest.approx(errors)
    assert result["mean_abs_dlog_r"] == pytest.approx(np.mean(errors))


@pytest.mark.slow
def test_the_recipe_for_twice_the_compute_is_nearly_the_best_measured(result):
    row = result["ahead"]
    assert set(row) == AHEAD
    assert (row["fitted_runs"], row["horizon_runs"]) == (47, 7)
    assert row["tokens_spent"] == pytest.approx(1, rel=1e-4)
    assert 0 <= row["excess"] <= 0.002
    assert row["loss_at_recommended"] == pytest.approx(3.1027 * (1 + row["excess"]))
    assert (row["best_measured_loss"], row["best_measured_ratio"]) == (3.1027, 0.35)


@pytest.mark.slow
def test_repeat_aware_prints_what_it_found(result, shared_data, monkeypatch):
    monkeypatch.setenv("M3JAX_DATA", str(shared_data))
    monkeypatch.setattr(repeat_aware, "study", lambda folder: result)
    done = call_script(repeat_aware, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == result
    done = call_script(repeat_aware)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("best r measured") == 9
    assert f"mean |Δ log r| {result['mean_abs_dlog_r']:.4f}" in done.out
    assert f"best measured 3.1027 at r 0.35: {result['ahead']['excess']:.2%} worse" in done.out


def test_without_the_tables_repeat_aware_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("M3JAX_DATA", str(tmp_path / "nothing"))
    done = call_script(repeat_aware, "--json")
    assert done.code == 2
    assert done.out == ""
    assert done.err == "public run tables not found; set M3JAX_DATA to their folder\n"
