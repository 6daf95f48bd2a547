"""Blends and arguments of Megatron-LM and NeMo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...files import json_text
from ...stages import Batch
from ._stages import parts_of


def megatron(entry: Mapping[str, Any], batch: Batch, corpora: Mapping[str, str]) -> dict[str, str]:
    """A blend file and an argument file a stage.

    Megatron divides weights by their sum, so the numbers of sequences serve as they are. Only the
    train split is given: `--split` would take validation text out of the scarce corpus. Iterations
    run on through the stages; at a phase transition Megatron saves, exits, and counts the next
    stage's samples from zero.
    """
    files = {}
    stages = entry["stages"]
    ends = [stage["last_step"] for stage in stages]
    for stage in stages:
        blend = [word for _, corpus, n in parts_of(stage, corpora) for word in (str(n), corpus)]
        arguments = [
            f"--seq-length {batch.sequence_length}",
            f"--global-batch-size {batch.size}",
            f"--train-iters {ends[-1]}",
        ]
        if len(ends) > 1:
            arguments.append(f"--phase-transition-iterations {','.join(map(str, ends[:-1]))}")
        name = f"_stage{stage['stage']}"
        files[f"{name}.json"] = json_text({"train": blend, "valid": None, "test": None})
        files[f"{name}.args"] = "\n".join(arguments) + "\n"
    return files
