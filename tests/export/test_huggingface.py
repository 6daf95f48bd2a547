"""Hugging Face datasets reads the sequences of the plan."""

import dataclasses

import numpy as np
import pytest

from m3jax import Batch, M3Error, training_plan
from m3jax.export import export_texts

from .batches import strict


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True], ids=["map-style", "iterable"])
def test_datasets_reads_every_sequence_as_often_as_planned(small, streaming):
    datasets = pytest.importorskip("datasets")
    batch = Batch(size=10, sequence_length=128)
    ((name, text),) = export_texts(small, "huggingface", batch=batch).items()
    assert name.endswith(".json")
    content = strict(text)
    (entry,) = training_plan(small, batch)["plans"]
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


def with_text(made, at_hand, read):
    """The plans of `made` with other text, at hand and to be read."""
    tokens = np.full(made.recipe.target_tokens.shape, read)
    return dataclasses.replace(
        made,
        target_tokens=np.full(made.target_tokens.shape, at_hand),
        recipe=dataclasses.replace(made.recipe, target_tokens=tokens),
    )


@pytest.mark.slow
def test_text_below_one_sequence_is_refused(small):
    tiny = with_text(small, 100.0, 100.0)
    with pytest.raises(M3Error, match="text of 100 tokens that is to be read does not fill one"):
        export_texts(tiny, "huggingface", batch=Batch(10, 128))


@pytest.mark.slow
def test_a_part_of_the_text_is_kept_before_it_is_repeated(small):
    (text,) = export_texts(
        with_text(small, 81920.0, 20480.0), "huggingface", batch=Batch(10, 128)
    ).values()
    for stage in strict(text)["stages"]:
        for side in stage["datasets"]:
            assert side.get("keep") == (160 if side["language"] == "target" else None)
            if side["language"] == "target":
                assert side["repeat"] * 160 >= side["skip"] + side["take"]
