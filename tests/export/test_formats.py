"""What all formats share: totals, tables, YAML, and a file for every recipe."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from m3jax import Batch, M3Error, training_plan
from m3jax.export import FORMATS, export_texts, write_export

from .batches import BATCH, strict

TRAINERS = [form for form in FORMATS if form not in ("json", "csv")]


@pytest.mark.slow
def test_totals_agree_to_the_token(found, planned):
    for content, step in ((training_plan(found), 1), (planned[0], BATCH.tokens)):
        for entry in content["plans"]:
            stages, totals, recipe = entry["stages"], entry["totals"], entry["recipe"]
            for name in ("tokens", "target_tokens", "source_tokens"):
                assert totals[name] == sum(stage[name] for stage in stages)
                assert isinstance(totals[name], int)
            assert totals["tokens"] == totals["target_tokens"] + totals["source_tokens"]
            asked = recipe["epochs"] * recipe["target_tokens"] / recipe["target_ratio"]
            assert totals["tokens"] == round(asked) // step * step
            assert totals["epochs"] == totals["target_tokens"] / entry["target_tokens"]
            assert totals["epochs"] == pytest.approx(recipe["epochs"], rel=2 * step / asked)
    assert content["batch"] == {"size": 96, "sequence_length": 512}
    assert totals["steps"] == stages[-1]["last_step"]


@pytest.mark.slow
def test_json_and_csv_are_the_plan(found, planned):
    for batch in (None, BATCH):
        texts = export_texts(found, "json", batch=batch)
        assert {name: strict(text) for name, text in texts.items()} == {
            "plan.json": training_plan(found, batch)
        }
    (text,) = export_texts(found, "csv", batch=BATCH).values()
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    stages = [(entry, stage) for entry in planned[0]["plans"] for stage in entry["stages"]]
    assert len(rows) == len(stages) > len(planned[0]["plans"])
    for row, (entry, stage) in zip(rows, stages, strict=True):
        assert row["language"] == entry["language"]
        assert float(row["corpus_tokens"]) == entry["target_tokens"]
        assert {name: float(row[name]) for name in stage} == stage


@pytest.mark.parametrize("name", ["no", "1e3", "", 'a: "b" #c', "नेपाली \x7f\n", "\\ 🙂 {language"])
def test_yaml_keeps_any_name_and_number(name):
    yaml = pytest.importorskip("yaml")
    from m3jax.export import to_yaml

    content = {
        "text": name, "list": [name, {"text": name, "key": True}], "nested": {"deeper": {"n": 1}},
        "numbers": [1e-7, 1e-05, 1.5e-300, 0.1 + 0.2, 3, 1e22, 1.0],
    }  # fmt: skip
    assert yaml.safe_load(to_yaml(content)) == content


@pytest.mark.slow
def test_a_stage_without_target_text_does_not_name_it(small):
    batch = Batch(10, 128)
    nothing = dataclasses.replace(
        small, recipe=dataclasses.replace(small.recipe, first_ratio=np.zeros((1, 1, 1)))
    )
    for form in TRAINERS:
        texts = export_texts(nothing, form, batch=batch, target_data="TARGET", source_data="OTHER")
        for name, text in texts.items():
            if "_stage1" in name and "OTHER" in text:
                assert "TARGET" not in text, form
    (text,) = export_texts(nothing, "huggingface", batch=batch).values()
    first = json.loads(text)["stages"][0]
    assert [cut["language"] for cut in first["datasets"]] == ["source"]
    assert first["interleave_datasets"]["probabilities"] == [1.0]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_files_are_written_for_every_recipe(form, found, planned, tmp_path):
    paths = write_export(tmp_path / "new", found, form, batch=BATCH)
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    names = {path.name.split("_stage")[0].removesuffix(".json") for path in paths}
    assert len(names) == (len(planned[0]["plans"]) if form in TRAINERS else 1)
    assert all(path.stat().st_size for path in paths)


@pytest.mark.slow
def test_what_cannot_be_exported_is_refused(found):
    with pytest.raises(M3Error, match="unknown export format 'nemo', expected one of: json, csv"):
        export_texts(found, "nemo", batch=BATCH)
    for form in TRAINERS:
        with pytest.raises(M3Error, match=f"export format '{form}' needs a batch"):
            export_texts(found, form)
    huge = Batch(size=10**6, sequence_length=10**6)
    with pytest.raises(M3Error, match=r"language .*, compute 3e\+19 FLOP.*one step of"):
        export_texts(found, "json", batch=huge)
