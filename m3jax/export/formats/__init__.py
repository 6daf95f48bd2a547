"""The formats of plans: one file a trainer, and one line here.

A table takes the whole plan and gives the text of one file. A trainer's format takes one entry of
the plan (a recipe), the batch and what the trainer calls the corpora, and gives endings of file
names with their texts. Counts are of sequences and exact; how exactly a trainer keeps them is its
own matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...files import json_text
from ...stages import Batch
from ._huggingface import huggingface
from ._megatron import megatron
from ._mosaic import mosaic
from ._tables import plan_csv
from ._torchtitan import torchtitan
from ._yaml import to_yaml

__all__ = ["FORMATS", "TABLES", "TRAINERS", "to_yaml"]

TABLES: dict[str, Callable[[dict[str, Any]], str]] = {"json": json_text, "csv": plan_csv}
TRAINERS: dict[str, Callable[[Mapping[str, Any], Batch, Mapping[str, str]], Mapping[str, str]]] = {
    "megatron": megatron,
    "huggingface": huggingface,
    "mosaic": mosaic,
    "torchtitan": torchtitan,
}
FORMATS = (*TABLES, *TRAINERS)
