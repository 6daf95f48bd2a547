"""What every trainer's format takes from a stage of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SEED = 17  # of sampling and shuffling; a stage's own number is added


def parts_of(stage: Mapping[str, Any], corpora: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """(target or source, corpus, sequences) of a stage, those it does not read left out."""
    return [
        (side, corpus, stage[f"{side}_sequences"])
        for side, corpus in corpora.items()
        if stage[f"{side}_sequences"]
    ]
