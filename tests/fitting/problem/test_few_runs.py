"""Tables with a few runs only: a fit that admits what it does not know, or one line."""

import json
from importlib import resources

import jax
import numpy as np
import pandas as pd
import pytest

from m3jax import RunTable, fit
from m3jax.fitting.problem import undetermined

from ...conftest import call

FEW = {"starts": 1, "draws": 8}


def first_runs(count, languages=1):
    with resources.files("m3jax.data").joinpath("tiny_two_stage.csv").open() as file:
        table = pd.read_csv(file)
    first = table[table["language"] == "Indonesian"].head(count)
    return pd.concat([first.assign(language=f"language{i}") for i in range(languages)])


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_what_fewer_runs_than_coefficients_leave_undetermined(n):
    jacobian = np.random.default_rng(0).normal(size=(2, n, 5))
    idle, redundant = undetermined(jacobian, np.ones((2, 5), dtype=bool))
    assert not idle.any()
    assert redundant.tolist() == [[j >= n for j in range(5)]] * 2


@pytest.mark.parametrize("languages", [1, 4])
@pytest.mark.parametrize("count", [1, 2])
def test_runs_too_few_for_any_fit_are_refused_in_one_line(tmp_path, count, languages):
    first_runs(count, languages).to_csv(tmp_path / "runs.csv", index=False)
    result = call("fit", tmp_path / "runs.csv", "--json")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert f"too few runs: {count}; a fit needs at least 3" in result.err


@pytest.mark.parametrize("count", [3, 8, 13])
def test_the_default_law_fits_few_runs_and_says_what_decided(tmp_path, count):
    first_runs(count).to_csv(tmp_path / "runs.csv", index=False)
    result = call("fit", tmp_path / "runs.csv", "--starts", 1, "--draws", 8, "--json")
    assert (result.code, result.err.count("Traceback")) == (0, 0), result.err
    (entry,) = result.json["languages"].values()
    free = {n: c for n, c in entry["coefficients"].items() if not c["frozen"]}
    assert f"{count} runs for {len(free)} coefficients" in " ".join(entry["messages"])
    assert "weak prior" in " ".join(entry["messages"])
    for coefficient in free.values():
        assert coefficient["low"] < coefficient["high"]
    assert json.dumps(result.json, allow_nan=False)


def test_few_runs_are_fitted_as_they_are_beside_others():
    with jax.enable_x64(True):
        alone = first_runs(4).assign(language="few")
        many = first_runs(30)
        other = first_runs(5).assign(language="five")
        one = fit(RunTable.from_frame(alone), "chinchilla", **FEW)
        three = fit(RunTable.from_frame(pd.concat([other, many, alone])), "chinchilla", **FEW)
    assert set(three.languages) == {"few", "five", "language0"}
    assert three.coefficients("few") == pytest.approx(one.coefficients("few"), rel=0.02)
    assert "weak prior" in " ".join(three.messages[three.index("few")])
    assert "weak prior" not in " ".join(three.messages[three.index("language0")])
