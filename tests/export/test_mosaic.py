"""Mosaic streaming chooses the sequences of the plan."""

import pytest

from m3jax.export import export_texts

from .batches import BATCH, stage_files


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
