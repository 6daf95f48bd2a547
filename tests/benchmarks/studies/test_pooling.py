"""The pooling study: it runs, and its languages are as alike as it says."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies import pooling
from benchmarks.studies.pooling import few_runs, made_up
from benchmarks.support.synthetic import true_loss, true_theta
from m3jax import Recipe


@pytest.mark.slow
def test_benchmark_runs(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("M3JAX_DATA", str(tmp_path / "nothing"))
    words = ["--kinds", "synthetic", "--languages", "8", "--repeats", "1", "--draws", "4"]
    words += ["--intervals", "bootstrap"]
    monkeypatch.setattr(sys, "argv", ["pooling", *words, "--json"])
    assert pooling.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["goldfish"] is None
    table = result["made_up"]["table"]["synthetic"]
    assert set(table) == set(pooling.POOLS)
    assert set(table["partial"]) == set(pooling.GROUPS)
    assert all(0 <= row["coverage_90"] <= 1 for rows in table.values() for row in rows.values())


def test_made_up_languages_are_as_alike_as_asked():
    alike, unlike = (np.std(made_up(kind, 200, 1), axis=0) for kind in ("alike", "unlike"))
    assert np.all(alike < unlike + 0.05)
    recipe = Recipe.create(n_params=1e8, target_tokens=np.array([1e7, 1e9]), epochs=4.0)
    assert np.all(np.isfinite(true_loss(made_up("middling", 3, 1)[0], recipe)))


def test_few_runs_are_the_first_of_many():
    theta = true_theta(2, 1)
    runs = few_runs(theta, np.array([3, 5]), 0.01, 2)
    assert pd.Series(runs.language).value_counts().tolist() == [5, 3]
