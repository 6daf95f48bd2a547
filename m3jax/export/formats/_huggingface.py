"""Recipes for Hugging Face `datasets.interleave_datasets`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..._errors import M3Error
from ...files import json_text
from ...stages import Batch
from ._stages import SEED, parts_of


def huggingface(
    entry: Mapping[str, Any], batch: Batch, corpora: Mapping[str, str]
) -> dict[str, str]:
    """One file: for each stage what to cut out of each dataset and how to interleave the cuts.

    A cut is `dataset.take(keep).repeat(repeat).skip(skip).take(take)` of datasets of packed
    sequences; `keep` stands only where a part of the corpus is to be read. Stages go on where the
    last one stopped. Interleaving them with
    `all_exhausted_without_replacement` (datasets 4.2 or later) gives every sequence of the cuts
    once, so the epochs and the ratio are exact; `first_exhausted` would end, and `all_exhausted`
    would repeat, by about the square root of the number of sequences.

    `uncut` is for older versions and for streams that are not cut: there `first_exhausted` ends the
    stage after one pass of the target, so that is right only where the draws, which are random,
    stay below one; beyond, `all_exhausted` starts it again. `take` then ends the stage. The ratio
    holds on average.
    """
    at_hand, read = entry["target_tokens"], entry["recipe"]["target_tokens"]
    corpus_sequences = int(read // batch.sequence_length)
    if corpus_sequences < 1:
        raise M3Error(
            f"language {entry['language']!r}: the target text of {read:.4g} tokens that is to be"
            f" read does not fill one sequence of {batch.sequence_length}"
        )
    keep = {"keep": corpus_sequences} if read < at_hand * (1 - 1e-9) else {}
    seen = {"target": 0, "source": 0}
    wanted = sum(stage["target_sequences"] for stage in entry["stages"])
    repeat = {"target": -(-wanted // corpus_sequences), "source": 1}
    stages = []
    for stage in entry["stages"]:
        datasets = []
        for side, corpus, n in parts_of(stage, corpora):
            cut = {"repeat": repeat[side], "skip": seen[side], "take": n}
            if side == "target":
                cut = keep | cut
            datasets.append({"language": side, "data": corpus, **cut})
            seen[side] += n
        drawn = stage["target_sequences"]
        # Five standard deviations; a stream that is not cut has all the text there is.
        again = (drawn + 5 * math.sqrt(drawn)) * batch.sequence_length > at_hand
        stages.append(
            {
                "stage": stage["stage"],
                "steps": stage["steps"],
                "datasets": datasets,
                "interleave_datasets": {
                    "probabilities": [
                        stage[f"{side['language']}_probability"] for side in datasets
                    ],
                    "seed": SEED + stage["stage"],
                    "stopping_strategy": "all_exhausted_without_replacement",
                },
                "uncut": {
                    "stopping_strategy": "all_exhausted" if again else "first_exhausted",
                    "take": stage["steps"] * batch.size,
                },
            }
        )
    return {
        ".json": json_text(
            {
                "batch_size": batch.size,
                "sequence_length": batch.sequence_length,
                "max_steps": entry["totals"]["steps"],
                "stages": stages,
            }
        )
    }
