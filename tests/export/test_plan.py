"""The plan: every position once, as the records say, written whole or not at all."""

import csv
import json

import pytest

import m3jax
from m3jax import M3Error, optimize, training_plan
from m3jax.export import SCHEMA_VERSION, write_plan, write_recipes

from .batches import SIZES, strict


@pytest.mark.slow
def test_every_position_is_in_the_plan_once(found):
    content = training_plan(found)
    places = [
        (entry["language"], entry["compute"], entry["target_tokens"])
        for entry in content["plans"] + content["infeasible"]
    ]
    assert len(places) == len(set(places)) == found.feasible.size
    assert len(content["plans"]) == found.feasible.sum()
    assert content["schema_version"] == SCHEMA_VERSION == 1
    assert content["m3jax_version"] == m3jax.__version__
    assert {"compute", "tokens", "loss", "n_params"} <= set(content["units"])


@pytest.mark.slow
def test_stages_add_up_to_the_recipe(found):
    kinds = set()
    for entry in training_plan(found)["plans"]:
        recipe, stages = entry["recipe"], entry["stages"]
        seen = recipe["epochs"] * recipe["target_tokens"]
        total = seen / recipe["target_ratio"]
        assert sum(s["tokens"] for s in stages) == round(total)
        assert sum(s["target_tokens"] for s in stages) == pytest.approx(seen)
        assert sum(s["source_tokens"] for s in stages) == pytest.approx(total - seen, abs=1e-3)
        assert sum(s["target_epochs"] for s in stages) == pytest.approx(recipe["epochs"])
        assert sum(s["fraction"] for s in stages) == pytest.approx(1)
        for stage in stages:
            assert stage["target_probability"] + stage["source_probability"] == pytest.approx(1)
        assert 6 * recipe["n_params"] * total <= entry["compute"] * (1 + 1e-6)
        assert stages[-1]["target_probability"] == pytest.approx(recipe["final_ratio"])
        assert stages[-1]["fraction"] == pytest.approx(recipe["stage_fraction"])
        kinds.add((entry["regime"], len(stages)))
    assert kinds == {("monolingual single-stage", 1), ("multilingual two-stage", 2)}


@pytest.mark.slow
def test_the_plan_says_what_the_records_say(found):
    records = {
        (row["language"], row["compute"], row["target_tokens"]): row for row in found.records()
    }
    content = training_plan(found)
    for entry in content["plans"]:
        row = records[entry["language"], entry["compute"], entry["target_tokens"]]
        loss = entry["predicted_loss"]
        assert loss == {"value": row["loss"], "low": row["loss_low"], "high": row["loss_high"]}
        for name, value in entry["recipe"].items():
            assert row[name] == pytest.approx(value, rel=1e-12)
        for name in ("regime", "active_limits", "outside_runs"):
            assert entry[name] == row[name]
    for entry in content["infeasible"]:
        row = records[entry["language"], entry["compute"], entry["target_tokens"]]
        assert entry["reason"] == row["infeasible"]
        assert entry["reason"].startswith("compute: the least demanding allowed recipe")


def test_without_draws_there_are_no_intervals(fits):
    found = optimize(fits, compute=[1e6, 3e19], target_tokens=SIZES, draws=0)
    for entry in strict(json.dumps(training_plan(found)))["plans"]:
        assert entry["predicted_loss"]["value"] > 0
        assert entry["predicted_loss"]["low"] is entry["predicted_loss"]["high"] is None


@pytest.mark.slow
def test_the_plan_file_is_the_plan(found, tmp_path):
    path = tmp_path / "new" / "folder" / "plan.json"
    assert write_plan(str(path), found) == path
    assert strict(path.read_text(encoding="utf-8")) == training_plan(found)
    assert [p.name for p in path.parent.iterdir()] == ["plan.json"]


@pytest.mark.slow
def test_the_table_has_one_row_a_position(found, tmp_path):
    path = write_recipes(tmp_path / "recipes.csv", found)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    records = found.records()
    assert len(rows) == len(records) == found.feasible.size
    for row, record in zip(rows, records, strict=True):
        assert list(row) == list(record)
        for name, value in record.items():
            cell = row[name]
            if value is None:
                assert cell == ""
            elif isinstance(value, list):
                assert cell == "; ".join(value)
            elif isinstance(value, float):
                assert float(cell) == value
            else:
                assert cell == str(value)
    empty = rows[0]
    assert empty["feasible"] == "False"
    assert empty["n_params"] == empty["loss"] == empty["loss_low"] == empty["active_limits"] == ""
    assert empty["infeasible"].startswith("compute")
    assert rows[2]["infeasible"] == ""


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_plan, write_recipes])
def test_nothing_is_written_half(write, found, tmp_path, monkeypatch):
    old = tmp_path / "old"
    old.write_text("before", encoding="utf-8")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    for path in (old, tmp_path / "new"):
        with pytest.raises(M3Error, match=f"{path.name}: cannot be written: No space left"):
            write(path, found)
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert old.read_text(encoding="utf-8") == "before"


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_plan, write_recipes])
def test_places_that_cannot_hold_a_file_are_refused(write, found, tmp_path):
    with pytest.raises(M3Error, match="is a folder, expected a file name"):
        write(tmp_path, found)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(M3Error, match="cannot be written"):
        write(tmp_path / "file" / "out", found)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
