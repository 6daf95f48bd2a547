"""Megatron reads the stages of the plan."""

import json

import numpy as np
import pytest

from m3jax.export import export_texts

from .batches import BATCH, stage_files, strict


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
