"""Training plans in the formats of trainers: who reads what, in their own words.

Counts are of sequences and exact. How exactly a trainer keeps them is its own matter: Megatron's
blend, Streaming's `choose` and the `datasets` recipe below give the plan's sequences to the last
one; torchtitan draws at random, so that the plan holds on average.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

from .._errors import M3Error
from ..files import write_text
from ..optimization import Recommendations
from ..stages import Batch
from ._plan import plan, plan_csv, plan_json

_SEED = 17  # of sampling and shuffling; a stage's own number is added


def export_texts(
    recommendations: Recommendations,
    form: str,
    *,
    batch: Batch | None = None,
    target_data: str = "{language}",
    source_data: str = "source",
) -> dict[str, str]:
    """The files of a format, as file name -> text.

    Args:
        recommendations: what to train; positions without a recipe are left out.
        form: a member of `FORMATS`. `json` and `csv` are one file, `plan.json` or `plan.csv`. The
            others need a `batch` and give each recipe files of its own:
            `megatron` (Megatron-LM, NeMo): each stage's blend as JSON, for
            `--per-split-data-args-path` or NeMo's `paths`, and the rest of its arguments;
            `huggingface`: JSON with what to cut and the arguments of
            `datasets.interleave_datasets`;
            `mosaic`: each stage as YAML of LLM Foundry, with Streaming's exact `choose`;
            `torchtitan`: each stage as YAML named like the fields of torchtitan's configuration.
        batch: sequences a step and their length.
        target_data, source_data: what the trainer calls the corpora (prefix, path, dataset name);
            `{language}` stands for the language.

    Raises `M3Error` for unknown formats, without a batch where one is needed, and as `plan` does.
    """
    check_format(form, batch)
    content = plan(recommendations, batch)
    if form in _TABLES:
        return {f"plan.{form}": _TABLES[form](content)}
    assert batch is not None
    files: dict[str, str] = {}
    names: set[str] = set()
    for entry in content["plans"]:
        language = entry["language"]
        name = _free_name(entry, names)
        names.add(name)
        corpora = {
            "target": target_data.replace("{language}", language),
            "source": source_data.replace("{language}", language),
        }
        for ending, text in _TRAINERS[form](entry, batch, corpora).items():
            files[f"{name}{ending}"] = text
    return files


def write_export(
    folder: str | os.PathLike[str],
    recommendations: Recommendations,
    form: str,
    *,
    batch: Batch | None = None,
    target_data: str = "{language}",
    source_data: str = "source",
) -> tuple[Path, ...]:
    """Write `export_texts` into a folder, each file whole or not at all; returns their paths.

    Raises `M3Error` as `export_texts` does, before anything is written, or if a file cannot be.
    """
    texts = export_texts(
        recommendations, form, batch=batch, target_data=target_data, source_data=source_data
    )
    return tuple(write_text(Path(folder) / name, text) for name, text in texts.items())


def check_format(form: str, batch: Batch | None) -> None:
    """Raise `M3Error` unless `form` is known and has the batch it needs."""
    if form not in FORMATS:
        raise M3Error(f"unknown export format {form!r}, expected one of: {', '.join(FORMATS)}")
    if form in _TRAINERS and batch is None:
        raise M3Error(f"export format {form!r} needs a batch: sequences a step and their length")


def _free_name(entry: Mapping[str, Any], taken: Container[str]) -> str:
    """`language_compute_tokens` in characters safe in any file name, numbered if taken."""
    language = "".join(c if c.isalnum() else "_" for c in entry["language"])
    amounts = f"{entry['compute']:g}_{entry['target_tokens']:g}".replace("+", "")
    name = base = f"{language}_{amounts}"
    number = 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def _parts(stage: Mapping[str, Any], corpora: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """(target or source, corpus, sequences) of a stage, those it does not read left out."""
    return [
        (side, corpus, stage[f"{side}_sequences"])
        for side, corpus in corpora.items()
        if stage[f"{side}_sequences"]
    ]


def _megatron(entry: Mapping[str, Any], batch: Batch, corpora: Mapping[str, str]) -> dict[str, str]:
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
        blend = [word for _, corpus, n in _parts(stage, corpora) for word in (str(n), corpus)]
        arguments = [
            f"--seq-length {batch.sequence_length}",
            f"--global-batch-size {batch.size}",
            f"--train-iters {ends[-1]}",
        ]
        if len(ends) > 1:
            arguments.append(f"--phase-transition-iterations {','.join(map(str, ends[:-1]))}")
        name = f"_stage{stage['stage']}"
        files[f"{name}.json"] = _json({"train": blend, "valid": None, "test": None})
        files[f"{name}.args"] = "\n".join(arguments) + "\n"
    return files


def _huggingface(
    entry: Mapping[str, Any], batch: Batch, corpora: Mapping[str, str]
) -> dict[str, str]:
    """One file: for each stage what to cut out of each dataset and how to interleave the cuts.

    A cut is `dataset.repeat(repeat).skip(skip).take(take)` of datasets of packed sequences; stages
    go on where the last one stopped. Interleaving them with
    `all_exhausted_without_replacement` (datasets 4.2 or later) gives every sequence of the cuts
    once, so the epochs and the ratio are exact; `first_exhausted` would end, and `all_exhausted`
    would repeat, by about the square root of the number of sequences.

    `uncut` is for older versions and for streams that are not cut: there `first_exhausted` ends the
    stage after one pass of the target, so that is right only where the draws, which are random,
    stay below one; beyond, `all_exhausted` starts it again. `take` then ends the stage. The ratio
    holds on average.
    """
    corpus_sequences = int(entry["target_tokens"] // batch.sequence_length)
    if corpus_sequences < 1:
        raise M3Error(
            f"language {entry['language']!r}: the target corpus of {entry['target_tokens']:.4g}"
            f" tokens does not fill one sequence of {batch.sequence_length}"
        )
    seen = {"target": 0, "source": 0}
    wanted = sum(stage["target_sequences"] for stage in entry["stages"])
    repeat = {"target": -(-wanted // corpus_sequences), "source": 1}
    stages = []
    for stage in entry["stages"]:
        datasets = []
        for side, corpus, n in _parts(stage, corpora):
            cut = {"repeat": repeat[side], "skip": seen[side], "take": n}
            datasets.append({"language": side, "data": corpus, **cut})
            seen[side] += n
        drawn = stage["target_sequences"]
        again = drawn + 5 * math.sqrt(drawn) > corpus_sequences  # five standard deviations
        stages.append(
            {
                "stage": stage["stage"],
                "steps": stage["steps"],
                "datasets": datasets,
                "interleave_datasets": {
                    "probabilities": [
                        stage[f"{side['language']}_probability"] for side in datasets
                    ],
                    "seed": _SEED + stage["stage"],
                    "stopping_strategy": "all_exhausted_without_replacement",
                },
                "uncut": {
                    "stopping_strategy": "all_exhausted" if again else "first_exhausted",
                    "take": stage["steps"] * batch.size,
                },
            }
        )
    return {
        ".json": _json(
            {
                "batch_size": batch.size,
                "sequence_length": batch.sequence_length,
                "max_steps": entry["totals"]["steps"],
                "stages": stages,
            }
        )
    }


def _mosaic(entry: Mapping[str, Any], batch: Batch, corpora: Mapping[str, str]) -> dict[str, str]:
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
                        for side, corpus, n in _parts(stage, corpora)
                    },
                    "max_seq_len": batch.sequence_length,
                    "shuffle": True,
                    "shuffle_seed": _SEED + stage["stage"],
                },
                "drop_last": True,
                "num_workers": 8,
            },
        }
        if stage["stage"] > 1:
            content["load_ignore_keys"] = ["state/dataset_state"]
        files[f"_stage{stage['stage']}.yaml"] = to_yaml(content)
    return files


def _torchtitan(
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
                    for side, corpus, _ in _parts(stage, corpora)
                ],
                "seed": _SEED + stage["stage"],
                "stopping_strategy": "on_first_exhausted",
            },
        }
        if stage["stage"] > 1:
            content["checkpoint"] = {"exclude_from_loading": ["dataloader"]}
        files[f"_stage{stage['stage']}.yaml"] = to_yaml(content)
    return files


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_yaml(content: Mapping[str, Any], indent: str = "") -> str:
    """Nested dicts as YAML blocks; lists are of flow style."""
    lines = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{key}:\n{to_yaml(value, indent + '  ')}")
        elif isinstance(value, list):
            items = "".join(f"{indent}  - {_flow(item)}\n" for item in value)
            lines.append(f"{indent}{key}:\n{items}")
        else:
            lines.append(f"{indent}{key}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        # Quoted, for names such as "no"; what is not printable is escaped as YAML wants it.
        plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
        return f'"{"".join(plain)}"'
    if isinstance(value, float) and "e" in (text := repr(value)) and "." not in text:
        return text.replace("e", ".0e")  # YAML 1.1 reads 1e-05 as text
    return json.dumps(value)


_TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"json": plan_json, "csv": plan_csv}
_TRAINERS: dict[str, Callable[[Mapping[str, Any], Batch, Mapping[str, str]], Mapping[str, str]]] = {
    "megatron": _megatron,
    "huggingface": _huggingface,
    "mosaic": _mosaic,
    "torchtitan": _torchtitan,
}
FORMATS = (*_TABLES, *_TRAINERS)
