"""The options of `plan` and of `design_runs`, which need no runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ._core import POSITIVE, PROPER_SHARE, Allowed, at_least, counted, option, same_as
from ._fit import FitOptions
from ._limits import Limits, OptimizeOptions
from ._next import FEWEST_DRAWS


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanOptions(Limits):
    """What `plan` is asked; the limits are those of the recipe."""

    compute: float = option(
        kind="number",
        unit="FLOP",
        allowed=POSITIVE,
        flags=("--compute", "-c"),
        help="Budget 6·N·D of the training.",
    )
    target_tokens: float = option(
        kind="number",
        unit="tokens",
        allowed=POSITIVE,
        flags=("--target-tokens", "-t"),
        help="Unique target tokens at hand.",
    )
    max_source_tokens: Any = same_as(
        Limits, "max_source_tokens", flags=("--source-tokens", "--max-source-tokens")
    )
    objective: str = same_as(OptimizeOptions, "objective", default="mean_log")
    draws: int = same_as(
        OptimizeOptions,
        "draws",
        default=100,
        allowed=at_least(FEWEST_DRAWS, "a whole number"),
        help="Draws of what public tables say.",
    )
    level: float = same_as(OptimizeOptions, "level")
    seed: int = same_as(FitOptions, "seed", help="Same seed, same answer.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DesignOptions(PlanOptions):
    """What `design_runs` is asked: what to decide, as in `plan`, and what may be spent on it."""

    share: float = option(
        0.005,
        kind="number",
        allowed=PROPER_SHARE,
        help="Share of the compute that all small runs together may take.",
    )
    budget: float | None = option(
        None,
        kind="number",
        unit="FLOP",
        allowed=POSITIVE,
        flags=("--budget", "-b"),
        help="What all small runs may take, in place of a share.",
    )
    runs: int = option(
        12,
        kind="whole number",
        allowed=counted(1),
        flags=("--runs", "-n"),
        help="How many, repeated ones included.",
    )
    repeats: int = option(
        2,
        kind="whole number",
        allowed=at_least(0, "a whole number"),
        help="How many of them repeat another with a different seed. They tell the noise.",
    )
    shapes: Sequence[str] | None = option(
        None,
        kind="texts",
        help="Models that can be trained, LAYERSxWIDTH: 6x384,12x768. By default decoders of every"
        " usual width.",
    )
    vocabulary: int = option(
        32_000,
        kind="whole number",
        unit="tokens",
        allowed=counted(1),
        help="Vocabulary, for the parameters of embeddings.",
    )
    sequence_length: int = option(
        2048, kind="whole number", unit="tokens", allowed=counted(1), help="Of the trainer."
    )
    starts: int = option(
        2,
        kind="whole number",
        allowed=Allowed("a whole number >= 1", lambda n: n >= 1),
        flags=(),
        help="Random designs that are improved; the best result is taken.",
    )
