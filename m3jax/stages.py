"""What to feed the trainer, stage by stage, in whole tokens, sequences and optimiser steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from ._errors import M3Error


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one optimiser step reads: `size` sequences of `sequence_length` tokens each.

    Raises `M3Error` unless both are whole positive numbers.
    """

    size: int
    sequence_length: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise M3Error(f"batch: {name}: expected a whole positive number, got {value!r}")

    @property
    def tokens(self) -> int:
        """Tokens a step."""
        return self.size * self.sequence_length


def stage_plan(
    stages: Sequence[tuple[float, float]],
    total_tokens: float,
    target_tokens: float,
    batch: Batch | None = None,
) -> list[dict[str, Any]]:
    """Stages as dicts, see `Recipe.stage_plan`.

    Rounding goes from the whole to the parts, so that every sum holds exactly: the run is the
    recipe's tokens (with a batch: as many whole steps as fit into them), its stages share them by
    largest remainder, and inside a stage the target takes the nearest whole number to its ratio.

    Args:
        stages: (share of all tokens, target ratio) of each stage; shares sum to 1, and a stage
            whose share is 0 is left out.
        total_tokens: D, of the whole run.
        target_tokens: D_T, unique target tokens.
        batch: what a step reads; None to plan in single tokens.

    Raises `M3Error` if there are fewer tokens (steps) than stages.
    """
    planned = round(total_tokens)
    stages = [stage for stage in stages if stage[0] > 0]
    # The unit that is dealt out to stages, and the one inside a stage that is of one language.
    unit, piece = (batch.tokens, batch.sequence_length) if batch else (1, 1)
    if planned // unit < len(stages):
        raise M3Error(
            f"stage_plan: {planned:,} training tokens do not give every stage (there are"
            f" {len(stages)}) one step of {unit:,} tokens"
        )
    units = apportion(planned // unit, [share for share, _ in stages])
    rows: list[dict[str, Any]] = []
    done = 0
    for number, ((_, ratio), count) in enumerate(zip(stages, units, strict=True), start=1):
        pieces = count * unit // piece
        target = round(pieces * ratio)
        row = {
            "stage": number,
            "fraction": count / sum(units),
            "tokens": pieces * piece,
            "target_tokens": target * piece,
            "source_tokens": (pieces - target) * piece,
            # p + (1 - p) is 1 in floating point, whatever p.
            "target_probability": target / pieces,
            "source_probability": 1 - target / pieces,
            "target_epochs": target * piece / target_tokens,
        }
        if batch is not None:
            row |= {
                "target_sequences": target,
                "source_sequences": pieces - target,
                "steps": count,
                "first_step": done + 1,
                "last_step": done + count,
            }
        done += count
        rows.append(row)
    return rows


def totals(stages: Sequence[dict[str, Any]], target_tokens: float) -> dict[str, Any]:
    """What the stages add up to: tokens by language, passes over the target corpus, steps."""
    names = ("tokens", "target_tokens", "source_tokens", "steps")
    sums = {name: sum(s[name] for s in stages) for name in names if name in stages[0]}
    return sums | {"epochs": sums["target_tokens"] / target_tokens}


def apportion(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `total`, in proportion to `shares` (sum 1), none below 1.

    Largest remainder: everyone gets the whole part of their share, and what is left goes to those
    who lost most. Needs total >= len(shares).
    """
    counts = [max(1, math.floor(total * share)) for share in shares]
    lost = [total * share - count for share, count in zip(shares, counts, strict=True)]
    while (left := total - sum(counts)) != 0:
        step = 1 if left > 0 else -1
        i = max(
            (i for i, count in enumerate(counts) if step > 0 or count > 1),
            key=lambda i: step * lost[i],
        )
        counts[i] += step
        lost[i] -= step
    return counts
