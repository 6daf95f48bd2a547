"""The scripts in benchmarks: they run, print what they say they print, and give sane figures."""

import json
import math
import sys

import numpy as np
import pytest

from benchmarks import coverage, repeat_aware
from benchmarks.synthetic import draw_recipes, run_table, true_loss, true_theta
from m3jax.laws import get_law

COVERAGE = {
    "languages", "repeats", "runs", "noise", "draws", "starts", "huber_delta", "level",
    "coverage", "coverage_by_language", "median_abs_relative_error", "mean_relative_error",
    "seconds",
}  # fmt: skip
CELL = {
    "target_tokens", "total_tokens", "runs", "measured_ratio", "predicted_ratio", "abs_dlog_r",
}  # fmt: skip


def finite(value) -> bool:
    """Whether every number in a JSON document is finite."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return math.isfinite(value)


@pytest.fixture
def script(monkeypatch, capsys):
    """Run a script's `main` with arguments: exit code, standard output, standard error."""

    def run(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        capsys.readouterr()
        code = module.main()
        return code, *capsys.readouterr()

    return run


# Made-up languages


def test_made_up_languages_are_the_same_for_the_same_seed():
    theta = true_theta(3, 1)
    assert theta.shape == (3, len(get_law("m3").names))
    np.testing.assert_array_equal(theta, true_theta(3, 1))
    assert not np.array_equal(theta, true_theta(3, 2))
    first, again = (run_table(theta, 20, 0.01, 4) for _ in range(2))
    np.testing.assert_array_equal(first.loss, again.loss)
    assert len(first.languages) == 3
    assert len(first) == 60


def test_without_noise_the_runs_are_the_truth():
    theta = true_theta(1, 1)
    runs = run_table(theta, 30, 0.0, 4)
    np.testing.assert_allclose(runs.loss, true_loss(theta[0], runs.recipe), rtol=1e-12)
    noisy = run_table(theta, 30, 0.05, 4)
    assert 0.01 < np.std(np.log(noisy.loss / runs.loss)) < 0.1


def test_made_up_runs_vary_in_everything():
    recipe = draw_recipes(200, np.random.default_rng(0))
    for name in ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio"):
        assert len(np.unique(getattr(recipe, name))) > 3
    assert 0.1 < np.mean(recipe.is_two_stage) < 0.6
    assert np.any(recipe.target_ratio == 1)


# Coverage of the intervals


def test_coverage(script):
    sizes = {"--languages": 2, "--repeats": 2, "--runs": 40, "--draws": 10, "--starts": 32}
    arguments = [word for pair in sizes.items() for word in pair]
    code, out, err = script(coverage, *arguments, "--json")
    assert code == 0
    result = json.loads(out)
    assert set(result) == COVERAGE
    assert finite(result)
    assert [result[name.strip("-")] for name in sizes] == list(sizes.values())
    spread = result["coverage_by_language"]
    assert 0 <= spread["lowest"] <= result["coverage"] <= spread["highest"] <= 1
    assert 0 < result["median_abs_relative_error"] < 0.05
    assert "2/2 repeats" in err


def test_coverage_for_people(script, monkeypatch):
    monkeypatch.setattr(coverage, "study", lambda **options: {"coverage": 0.9, **options})
    code, out, _ = script(coverage, "--repeats", 3)
    assert code == 0
    assert "coverage: 0.9\n" in out
    assert "repeats: 3\n" in out


# Repeat-aware data mixing


@pytest.fixture(scope="module")
def found(shared_data):
    return repeat_aware.study(shared_data)


def test_the_best_ratio_is_where_it_was_measured(found):
    assert found["objective"] <= 0.000180
    assert found["mean_abs_dlog_r"] <= 0.10
    assert finite(found)
    assert set(found) == {"runs", "objective", "r2", "mean_abs_dlog_r", "cells"}
    cells = found["cells"]
    assert len(cells) == 9
    assert all(set(cell) == CELL for cell in cells)
    assert sum(cell["runs"] for cell in cells) == found["runs"]
    errors = [abs(math.log(c["predicted_ratio"] / c["measured_ratio"])) for c in cells]
    assert [cell["abs_dlog_r"] for cell in cells] == pytest.approx(errors)
    assert found["mean_abs_dlog_r"] == pytest.approx(np.mean(errors))


def test_repeat_aware_prints_what_it_found(found, shared_data, script, monkeypatch):
    monkeypatch.setenv("M3JAX_DATA", str(shared_data))
    monkeypatch.setattr(repeat_aware, "study", lambda folder: found)
    code, out, err = script(repeat_aware, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == found
    code, out, err = script(repeat_aware)
    assert (code, err) == (0, "")
    assert out.count("best r measured") == 9
    assert f"mean |Δ log r| {found['mean_abs_dlog_r']:.4f}" in out


def test_without_the_tables_repeat_aware_says_what_is_missing(script, monkeypatch, tmp_path):
    monkeypatch.setenv("M3JAX_DATA", str(tmp_path / "nothing"))
    code, out, err = script(repeat_aware, "--json")
    assert code == 2
    assert out == ""
    assert err == "public run tables not found; set M3JAX_DATA to their folder\n"
