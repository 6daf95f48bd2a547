"""Configurations of torchtitan, which samples at random: plans hold on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...stages import Batch
from ._stages import SEED, parts_of
from ._yaml import to_yaml


def torchtitan(
    entry: Mapping[str, Any], batch: Batch, corpora: Mapping[str, str]
) -> dict[str, str]:
    """A YAML file a stage: sections and fields of torchtitan's trainer configuration.

    The sources are infinite, so that the scarce corpus starts again and only `steps`, which run on
    through the stages, ends the stage.
    """
    files = {}
    for stage in entry["stages"]:
        content: dict[str, Any] = {
            "training": {
                "seq_len": batch.sequence_length,
                "global_batch_size": batch.size,
                "steps": stage["last_step"],
            },
            "dataloader": {
                "sources": [
                    {"dataset": corpus, "infinite": True, "weight": stage[f"{side}_probability"]}
                    for side, corpus, _ in parts_of(stage, corpora)
                ],
                "seed": SEED + stage["stage"],
                "stopping_strategy": "on_first_exhausted",
            },
        }
        if stage["stage"] > 1:
            content["checkpoint"] = {"exclude_from_loading": ["dataloader"]}
        files[f"_stage{stage['stage']}.yaml"] = to_yaml(content)
    return files
