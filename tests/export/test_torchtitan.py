"""TorchTitan samples the ratios of the plan."""

import pytest

from m3jax.export import export_texts

from .batches import BATCH, stage_files


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
