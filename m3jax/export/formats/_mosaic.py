"""Datasets of LLM Foundry, with the exact `choose` of Streaming."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...stages import Batch
from ._stages import SEED, parts_of
from ._yaml import to_yaml


def mosaic(entry: Mapping[str, Any], batch: Batch, corpora: Mapping[str, str]) -> dict[str, str]:
    """A YAML file a stage, one epoch of Streaming each.

    `choose` (samples an epoch) is exact and passes over a stream evenly, `proportion` rounds. A
    later stage starts from the checkpoint of the one before (`load_path`), whose place in the data
    is not its own.
    """
    files = {}
    for stage in entry["stages"]:
        content: dict[str, Any] = {
            "max_seq_len": batch.sequence_length,
            "global_train_batch_size": batch.size,
            "max_duration": f"{stage['last_step']}ba",
            "train_loader": {
                "name": "text",
                "dataset": {
                    "streams": {
                        side: {"remote": corpus, "choose": n}
                        for side, corpus, n in parts_of(stage, corpora)
                    },
                    "max_seq_len": batch.sequence_length,
                    "shuffle": True,
                    "shuffle_seed": SEED + stage["stage"],
                },
                "drop_last": True,
                "num_workers": 8,
            },
        }
        if stage["stage"] > 1:
            content["load_ignore_keys"] = ["state/dataset_state"]
        files[f"_stage{stage['stage']}.yaml"] = to_yaml(content)
    return files
