"""`m3jax optimize`."""

import csv
import json
from pathlib import Path

import pytest

from ..conftest import ok
from .conftest import LANGUAGES, files
from .test_predict import PREDICT

OPTIMIZE = ("optimize", "fits.json", "--target-tokens", "100M,3e8")


def test_optimize_gives_records_and_files(here):
    written = ("--recipes", "new/recipes.csv", "--plan", "plan.json")
    result = ok(*OPTIMIZE, "-c", "1e6,3e19", *written, "--json")
    assert result.err == ""
    records = result.json
    assert len(records) == 8
    assert [row["feasible"] for row in records] == [False, False, True, True] * 2
    assert all("compute" in row["infeasible"] for row in records if not row["feasible"])
    with open("new/recipes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, records, strict=True):
        assert list(row) == list(record)
        assert row["loss"] == ("" if record["loss"] is None else repr(record["loss"]))
    plan = json.loads(Path("plan.json").read_text(encoding="utf-8"))
    assert len(plan["plans"]) == len(plan["infeasible"]) == 4


def test_optimize_exports_plans_for_trainers(here):
    batch = ("--batch-size", 64, "--sequence-length", 1024)
    data = ("--target-data", "corpora/{language}", "--source-data", "corpora/english")
    told = ok(*OPTIMIZE, "-c", "3e19", "--export", "megatron", *batch, *data, "--plan", "p.json")
    written = files(here / "export")
    assert len(written) == 8  # two languages, two corpus sizes, blend and arguments
    assert told.out.endswith("written to export: language0000_3e19_1e08_stage1.json and 7 more\n")
    blend = json.loads(Path("export", "language0001_3e19_1e08_stage1.json").read_text())
    assert blend["train"][1::2] == ["corpora/language0001"]
    content = json.loads(Path("p.json").read_text(encoding="utf-8"))
    assert content["batch"] == {"size": 64, "sequence_length": 1024}
    assert content["plans"][2]["totals"]["steps"] * 64 == int(blend["train"][0])
    result = ok(*OPTIMIZE, "-c", "3e19", "--export", "csv", "--export-to", "new", "--json")
    assert len(result.json) == 4
    assert files(here / "new") == {"plan.csv"}


@pytest.mark.slow
def test_optimize_keeps_the_bounds(here):
    bounds = ("--n-params", "20M,30M", "--epochs", "2,3", "--max-total-tokens", "1B")
    more = ("--draws", 2, "--level", 0.5, "--max-source-tokens", "1T", "--first-share", 0.1)
    more += ("--target-ratio", "0.5,1", "--final-ratio", "0.5,1", "--stage-fraction", "0.1,0.5")
    for row in ok(*OPTIMIZE, "--compute", "3e19", *bounds, *more, "--json").json:
        assert 2e7 <= row["n_params"] <= 3e7 * (1 + 1e-9)
        assert 2 * (1 - 1e-9) <= row["epochs"] <= 3 * (1 + 1e-9)
        assert row["total_tokens"] <= 1e9 * (1 + 1e-9)
        assert row["loss_low"] <= row["loss_high"]


def test_optimize_prints_a_table_a_language(here):
    result = ok(*OPTIMIZE, "-c", "1e6,3e19")
    for name in LANGUAGES:
        assert f"Best recipes for {name}" in result.out
    assert "monolingual" in result.out
    assert "none allowed" in result.out
    assert "no recipe: compute" in result.out
    assert "target_ratio held at 1: law chinchilla does not see it" in result.out
    assert result.err == ""


def test_tables_fit_a_terminal_of_80_columns(here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in (
        (*OPTIMIZE, "-c", "1e18,3e19"),
        (*PREDICT, "--n-params", "10M,1B"),
    ):
        table = [line for line in ok(*command).out.splitlines() if "note:" not in line]
        assert "…" not in "".join(table)
        assert max(map(len, table)) <= 80
