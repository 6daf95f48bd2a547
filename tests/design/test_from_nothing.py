"""Run sheets for languages that have no runs yet."""

import json

import numpy as np
import pandas as pd
import pytest

from m3jax import M3Error, RunTable, design_runs, fit, plan
from m3jax.design import likeness_of, ranges_around

from ..conftest import is_finite

CASE = {"compute": 1e21, "target_tokens": 2e9, "max_source_tokens": 1e12}


@pytest.fixture(scope="module")
def design():
    return design_runs(**CASE, runs=8, repeats=2, starts=1, draws=60, language="Indonesian")


def test_the_sheet_keeps_to_the_budget_and_is_worth_it(design):
    rows = design.records()
    assert len(rows) == len(design) == 8
    spent = sum(row["compute"] for row in rows)
    assert 0.3 * 5e18 < spent <= 5e18
    runs = design.runs
    assert runs.regret_after < 0.5 * runs.regret_now
    assert runs.regret_after < runs.regret_random
    assert is_finite(design.to_dict())


def test_every_run_can_be_trained_as_it_stands(design):
    for row in design.records():
        blocks = 12 * row["layers"] * row["width"] ** 2
        assert row["n_params_without_embeddings"] == blocks
        assert row["n_params"] == blocks + 32_000 * row["width"]
        assert row["width"] % row["heads"] == 0
        assert row["model"] == f"{row['layers']}x{row['width']}"
        tokens = row["steps"] * row["batch_size"] * row["sequence_length"]
        assert tokens == pytest.approx(row["total_tokens"], rel=0.02)
        assert row["steps"] >= 400
        assert row["corpus_share"] == pytest.approx(row["target_tokens"] / 2e9, rel=1e-3)
        assert row["loss"] is None


def test_the_cheapest_are_repeated_with_another_seed(design):
    frame = pd.DataFrame(design.records())
    repeated = frame[frame.seed == 1]
    assert len(repeated) == 2
    first = frame[frame.seed == 0]
    assert repeated.compute.max() <= np.sort(first.compute)[len(repeated) - 1 + 1]
    assert frame.run_id.is_unique


def test_the_finished_sheet_is_a_run_table(design, tmp_path):
    path = design.save(tmp_path / "sheet.csv")
    table = pd.read_csv(path)
    table["loss"] = np.linspace(3.0, 4.0, len(table))
    table.to_csv(path, index=False)
    fits = fit(RunTable.read(path), prior="public", draws=20)
    assert fits.languages == ("Indonesian",)
    content = json.loads(design.save(tmp_path / "sheet.json").read_text())
    assert len(content["runs"]) == 8
    with pytest.raises(M3Error, match=r"\.csv or \.json"):
        design.save(tmp_path / "sheet.txt")


def test_small_runs_see_the_epochs_of_the_large_one():
    recipe = plan(**CASE, draws=60).recipe
    small = likeness_of(recipe, 1e-4)
    assert float(small.compute[0]) == pytest.approx(1e-4 * float(recipe.compute), rel=1e-9)
    assert small.epochs[0] == pytest.approx(recipe.epochs)
    assert small.n_params[0] == pytest.approx(recipe.n_params / 100)
    for name, (low, high) in ranges_around(recipe, 1e-4).items():
        if name != "stage_fraction":
            assert low <= getattr(small, name)[0] * (1 + 1e-9)
            assert getattr(small, name)[0] <= high * (1 + 1e-9)


def test_only_shapes_that_were_named():
    named = design_runs(**CASE, runs=4, repeats=0, starts=1, draws=60, shapes=["8x384", "12x512"])
    assert {row["model"] for row in named.records()} <= {"8x384", "12x512"}
    with pytest.raises(M3Error, match="shapes=big: expected LAYERSxWIDTH"):
        design_runs(**CASE, shapes=["big"])
    with pytest.raises(M3Error, match="leave none to repeat"):
        design_runs(**CASE, runs=2, repeats=2)
    with pytest.raises(M3Error, match="no usual decoder has between"):
        design_runs(compute=1e15, target_tokens=1e7, vocabulary=250_000, share=0.001)
