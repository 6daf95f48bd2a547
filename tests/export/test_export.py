"""The training plan and the table of recipes: complete, parseable, whole or not at all."""

import csv
import dataclasses
import json

import jax
import numpy as np
import pytest

import m3jax
from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Batch, M3Error, Recipe, fit, optimize, plan
from m3jax.export import (
    FORMATS,
    SCHEMA_VERSION,
    export_texts,
    write_export,
    write_plan,
    write_recipes,
)

SIZES = [1e8, 3e8]


@pytest.fixture(scope="module")
def fits():
    """Two made-up languages; the first one's name is hard on a CSV file."""
    runs = run_table(true_theta(2, 3), 24, 0.003, 5)
    odd = 'a "b", c;\nd'
    names = np.where(runs.language == runs.languages[0], odd, runs.language)
    return fit(dataclasses.replace(runs, language=names), "chinchilla", draws=2, starts=2)


@pytest.fixture(scope="module")
def found(fits):
    """Recommendations: nothing is allowed under the first budget, one recipe is two-stage."""
    found = optimize(fits, compute=[1e6, 3e19], target_tokens=SIZES)
    assert not found.feasible[:, 0].any()
    assert found.feasible[:, 1].all()
    place = (1, 1, 0)
    two = Recipe.create(
        n_params=1e8, target_tokens=1e8, epochs=8.0, target_ratio=0.2, final_ratio=0.6,
        first_ratio=0.05,
    )  # fmt: skip
    regime = found.regime.copy()
    regime[place] = 2

    def put(leaf, value):
        leaf = leaf.copy()
        leaf[place] = value
        return leaf

    return dataclasses.replace(found, recipe=jax.tree.map(put, found.recipe, two), regime=regime)


def strict(text: str):
    """Parsed JSON; NaN and Infinity, which are not JSON, are refused."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.slow
def test_every_position_is_in_the_plan_once(found):
    content = plan(found)
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
    for entry in plan(found)["plans"]:
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
    content = plan(found)
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
    for entry in strict(json.dumps(plan(found)))["plans"]:
        assert entry["predicted_loss"]["value"] > 0
        assert entry["predicted_loss"]["low"] is entry["predicted_loss"]["high"] is None


@pytest.mark.slow
def test_the_plan_file_is_the_plan(found, tmp_path):
    path = tmp_path / "new" / "folder" / "plan.json"
    assert write_plan(str(path), found) == path
    assert strict(path.read_text(encoding="utf-8")) == plan(found)
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


# What trainers read

BATCH = Batch(size=96, sequence_length=512)
TRAINERS = [form for form in FORMATS if form not in ("json", "csv")]


@pytest.fixture(scope="module")
def planned(found):
    """The plan in steps, and its one entry of two stages."""
    content = plan(found, BATCH)
    (two,) = (entry for entry in content["plans"] if len(entry["stages"]) == 2)
    return content, two


def stage_files(texts, ending):
    """Texts of the two-stage recipe's files, in the order of its stages."""
    bases = [name.removesuffix(f"_stage2{ending}") for name in texts if f"_stage2{ending}" in name]
    (base,) = bases
    return [texts[f"{base}_stage{number}{ending}"] for number in (1, 2)]


@pytest.mark.slow
def test_totals_agree_to_the_token(found, planned):
    for content, step in ((plan(found), 1), (planned[0], BATCH.tokens)):
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
            "plan.json": plan(found, batch)
        }
    (text,) = export_texts(found, "csv", batch=BATCH).values()
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    stages = [(entry, stage) for entry in planned[0]["plans"] for stage in entry["stages"]]
    assert len(rows) == len(stages) > len(planned[0]["plans"])
    for row, (entry, stage) in zip(rows, stages, strict=True):
        assert row["language"] == entry["language"]
        assert float(row["corpus_tokens"]) == entry["target_tokens"]
        assert {name: float(row[name]) for name in stage} == stage


def blend_of(words):
    """Weights and prefixes as Megatron reads a blend: pairs, weights divided by their sum."""
    weights = np.array(words[::2], dtype=float)
    return words[1::2], weights / weights.sum()


def blended(weights, size):
    """Samples taken of each corpus when Megatron blends `size` samples.

    Each time it takes the one whose share lags furthest behind; the first of equals.
    """
    taken = np.zeros(len(weights), dtype=int)
    for sample in range(size):
        taken[np.argmax(weights * max(sample, 1.0) - taken)] += 1
    return taken.tolist()


@pytest.mark.slow
def test_megatron_blends_are_the_stages(found, planned):
    texts = export_texts(
        found, "megatron", batch=BATCH, target_data="data/target", source_data="data/english"
    )
    stages = planned[1]["stages"]
    for stage, blend, arguments in zip(
        stages, stage_files(texts, ".json"), stage_files(texts, ".args"), strict=True
    ):
        splits = strict(blend)
        assert list(splits) == ["train", "valid", "test"]
        assert splits["valid"] is splits["test"] is None
        prefixes, weights = blend_of(splits["train"])
        assert prefixes == ["data/target", "data/english"]
        assert sum(weights) == 1.0
        assert weights[0] == stage["target_probability"]
        options = dict(zip(arguments.split()[::2], arguments.split()[1::2], strict=True))
        assert options == {
            "--seq-length": "512",
            "--global-batch-size": "96",
            "--train-iters": str(stages[-1]["last_step"]),
            "--phase-transition-iterations": str(stages[0]["last_step"]),
        }
    (single, *_) = (entry for entry in planned[0]["plans"] if len(entry["stages"]) == 1)
    arguments = next(text for name, text in texts.items() if name.endswith("_stage1.args"))
    assert len(single["stages"]) == 1
    assert "--phase-transition-iterations" not in arguments


def test_megatron_takes_the_sequences_of_the_plan():
    rng = np.random.default_rng(2)
    for _ in range(20):
        size = int(rng.integers(2, 3000))
        target = int(rng.integers(1, size))
        _, weights = blend_of([str(target), "a", str(size - target), "b"])
        assert blended(weights, size) == [target, size - target]


@pytest.mark.slow
def test_megatron_reads_the_blends_itself(found):
    utils = pytest.importorskip("megatron.core.datasets.utils")
    for name, text in export_texts(found, "megatron", batch=BATCH).items():
        if name.endswith(".json"):
            splits = json.loads(text)
            prefixes, weights = utils.get_blend_from_list(splits["train"])
            assert len(prefixes) == len(weights)
            assert utils.get_blend_from_list(splits["valid"]) is None


@pytest.fixture(scope="module")
def small(found):
    """The two-stage recipe on a corpus small enough to go through: 4 sequences an epoch at 512."""
    recipe = Recipe.create(
        n_params=1e8, target_tokens=2048 * 40, epochs=5.5, target_ratio=0.2, final_ratio=0.6,
        first_ratio=0.05,
    )  # fmt: skip
    put = jax.tree.map(lambda leaf, new: np.full_like(leaf[:1, 1:, :1], new), found.recipe, recipe)
    return dataclasses.replace(
        found,
        languages=found.languages[:1],
        compute=found.compute[1:],
        target_tokens=np.array([[2048.0 * 40]]),
        recipe=put,
        **{
            name: getattr(found, name)[:1, 1:, :1]
            for name in ("feasible", "regime", "kkt", "agreement", "multipliers", "regret")
        },
        **{
            name: getattr(found, name)[:1, 1:, :1]
            for name in ("loss", "loss_low", "loss_high", "regime_share", "by_regime_loss")
        },
        infeasible={},
    )


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "iterable"])
def test_datasets_reads_every_sequence_as_often_as_planned(small, streaming):
    datasets = pytest.importorskip("datasets")
    batch = Batch(size=10, sequence_length=128)
    ((name, text),) = export_texts(small, "huggingface", batch=batch).items()
    assert name.endswith(".json")
    content = strict(text)
    (entry,) = plan(small, batch)["plans"]
    corpus = 2048 * 40 // 128
    sizes = {"target": corpus, "source": entry["totals"]["source_tokens"] // 128}

    def whole(language):
        ids = [f"{language} {i}" for i in range(sizes[language])]
        data = datasets.Dataset.from_dict({"id": ids})
        return data.to_iterable_dataset() if streaming else data

    read = []
    assert content["max_steps"] == entry["totals"]["steps"]
    for stage, made in zip(entry["stages"], content["stages"], strict=True):
        assert sum(made["interleave_datasets"]["probabilities"]) == 1.0
        cuts = [
            whole(cut["language"]).repeat(cut["repeat"]).skip(cut["skip"]).take(cut["take"])
            for cut in made["datasets"]
        ]
        mixed = datasets.interleave_datasets(cuts, **made["interleave_datasets"])
        ids = [row["id"] for row in mixed]
        assert len(ids) == made["steps"] * 10 == stage["steps"] * 10
        assert sum(i.startswith("target") for i in ids) == stage["target_sequences"]
        half = ids[: len(ids) // 2]  # mixed, and not one after the other
        share = sum(i.startswith("target") for i in half) / len(half)
        assert share == pytest.approx(stage["target_probability"], abs=0.1)
        read += ids
    counts = dict.fromkeys(read, 0)
    for name in read:
        counts[name] += 1
    passes = [n for name, n in counts.items() if name.startswith("target")]
    assert len(passes) == corpus
    assert set(passes) <= {5, 6}  # 5.5 epochs: no sequence is read twice more than another
    assert sum(passes) / corpus == entry["totals"]["epochs"]
    assert {n for name, n in counts.items() if name.startswith("source")} == {1}


@pytest.mark.slow
def test_uncut_corpora_start_again_only_where_they_must(small):
    datasets = pytest.importorskip("datasets")
    (text,) = export_texts(small, "huggingface", batch=Batch(10, 128)).values()
    first, final = strict(text)["stages"]
    corpus = 2048 * 40 // 128
    # The first stage draws one pass on average: where it draws more, the target starts again.
    assert first["datasets"][0]["take"] == corpus < final["datasets"][0]["take"]
    for made in (first, final):
        assert made["uncut"]["stopping_strategy"] == "all_exhausted"
        options = made["interleave_datasets"] | {"stopping_strategy": "all_exhausted"}
        whole = [
            datasets.Dataset.from_dict({"id": [f"{name} {i}" for i in range(size)]})
            for name, size in (("target", corpus), ("source", 30_000))
        ]
        ids = datasets.interleave_datasets(whole, **options).take(made["uncut"]["take"])["id"]
        n, share = len(ids), made["interleave_datasets"]["probabilities"][0]
        assert n == made["uncut"]["take"] == made["steps"] * 10
        found = sum(i.startswith("target") for i in ids)
        assert abs(found - share * n) < 5 * np.sqrt(n * share * (1 - share))
    once = dataclasses.replace(
        small, recipe=dataclasses.replace(small.recipe, epochs=np.full((1, 1, 1), 0.9))
    )
    (text,) = export_texts(once, "huggingface", batch=Batch(10, 128)).values()
    assert {made["uncut"]["stopping_strategy"] for made in strict(text)["stages"]} == {
        "first_exhausted"
    }


@pytest.mark.slow
def test_a_corpus_below_one_sequence_is_refused(small):
    tiny = dataclasses.replace(small, target_tokens=np.array([[100.0]]))
    with pytest.raises(M3Error, match="corpus of 100 tokens does not fill one sequence of 128"):
        export_texts(tiny, "huggingface", batch=Batch(10, 128))


@pytest.mark.slow
def test_mosaic_chooses_the_sequences_of_the_plan(found, planned):
    yaml = pytest.importorskip("yaml")
    texts = export_texts(found, "mosaic", batch=BATCH, source_data="s3://bucket/english")
    for stage, text in zip(planned[1]["stages"], stage_files(texts, ".yaml"), strict=True):
        content = yaml.safe_load(text)
        assert content["max_duration"] == f"{stage['last_step']}ba"
        assert content["global_train_batch_size"] == 96
        dataset = content["train_loader"]["dataset"]
        assert content["max_seq_len"] == dataset["max_seq_len"] == 512
        assert dataset["streams"] == {
            "target": {"remote": planned[1]["language"], "choose": stage["target_sequences"]},
            "source": {"remote": "s3://bucket/english", "choose": stage["source_sequences"]},
        }
        assert sum(s["choose"] for s in dataset["streams"].values()) == stage["steps"] * 96
        later = stage["stage"] > 1
        assert content.get("load_ignore_keys") == (["state/dataset_state"] if later else None)


@pytest.mark.slow
def test_torchtitan_samples_the_ratios_of_the_plan(found, planned):
    yaml = pytest.importorskip("yaml")
    texts = export_texts(found, "torchtitan", batch=BATCH)
    for stage, text in zip(planned[1]["stages"], stage_files(texts, ".yaml"), strict=True):
        content = yaml.safe_load(text)
        steps = stage["last_step"]
        assert content["training"] == {
            "seq_len": 512, "global_batch_size": 96, "steps": steps
        }  # fmt: skip
        sources = content["dataloader"]["sources"]
        assert [s["dataset"] for s in sources] == [planned[1]["language"], "source"]
        assert [s["weight"] for s in sources] == [
            stage["target_probability"], stage["source_probability"]
        ]  # fmt: skip
        assert all(s["infinite"] is True for s in sources)
        assert content["dataloader"]["stopping_strategy"] == "on_first_exhausted"


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
