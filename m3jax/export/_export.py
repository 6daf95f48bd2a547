"""Training plans as the files of a format."""

from __future__ import annotations

import os
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from .._errors import M3Error
from ..files import encoded, file_name, write_folder
from ..optimization import Recommendations
from ..stages import Batch
from ._plan import training_plan
from .formats import FORMATS, TABLES, TRAINERS


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
    content = training_plan(recommendations, batch)
    if form in TABLES:
        return {f"plan.{form}": TABLES[form](content)}
    assert batch is not None
    files: dict[str, str] = {}
    names: set[str] = set()
    for entry in content["plans"]:
        language = entry["language"]
        name = _free_name(entry, names)
        names.add(name.casefold())  # to some file systems A is a
        corpora = {
            "target": target_data.replace("{language}", language),
            "source": source_data.replace("{language}", language),
        }
        for ending, text in TRAINERS[form](entry, batch, corpora).items():
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
    """Write `export_texts` into a folder, all files or none; returns their paths.

    Raises `M3Error` as `export_texts` does, before anything is written, or if a file cannot be.
    """
    texts = export_texts(
        recommendations, form, batch=batch, target_data=target_data, source_data=source_data
    )
    return write_folder({Path(folder) / name: encoded(text) for name, text in texts.items()})


def check_format(form: str, batch: Batch | None) -> None:
    """Raise `M3Error` unless `form` is known and has the batch it needs."""
    if form not in FORMATS:
        raise M3Error(f"unknown export format {form!r}, expected one of: {', '.join(FORMATS)}")
    if form in TRAINERS and batch is None:
        raise M3Error(f"export format {form!r} needs a batch: sequences a step and their length")


def _free_name(entry: Mapping[str, Any], taken: Container[str]) -> str:
    """`language_compute_tokens` in characters safe in any file name, numbered if taken."""
    language = file_name(entry["language"])
    amounts = f"{entry['compute']:g}_{entry['target_tokens']:g}".replace("+", "")
    name = base = f"{language}_{amounts}"
    number = 1
    while name.casefold() in taken:
        number += 1
        name = f"{base}_{number}"
    return name
