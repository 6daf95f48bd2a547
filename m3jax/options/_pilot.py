"""The options of `m3jax pilot`: what to do, how to train, and which space to spread runs over."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from .._errors import M3Error
from ._core import POSITIVE, Allowed, Options, at_least, counted, option, same_as
from ._fit import FitOptions

_SHARE = Allowed("a number from 0 to 1", lambda x: 0 <= x <= 1)
_SPAN = Allowed("0 < low <= high", lambda x: x > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PilotOptions(Options):
    """What a pilot is asked; every field is a keyword of `pilot.prepare`.

    One of `budget`, `minutes` and `recipes` says how much to train.
    """

    budget: float | None = option(
        None,
        kind="number",
        unit="FLOP",
        allowed=POSITIVE,
        help="FLOP for each language, 6·N·D summed over runs: 2e13.",
    )
    minutes: float | None = option(
        None,
        kind="number",
        unit="minutes",
        allowed=POSITIVE,
        help="Instead: what this machine does in so many minutes. Measured now; a table that was"
        " begun with as many minutes and runs keeps its budget.",
    )
    recipes: Any = option(
        None,
        kind="recipes",
        help="Instead: train these recipes, a .csv file (`m3jax optimize --recipes`). In Python"
        " also a function from a language to recipes with leaves (n,). Final stages may be as short"
        " as these say, within the decay of the learning rate too.",
    )
    seeds: int = option(
        3,
        kind="whole number",
        allowed=counted(1),
        help="Runs of each of --recipes; where that file has a column `seed`, one with each row's.",
    )
    runs: int = option(
        100,
        kind="whole number",
        allowed=counted(1),
        help="At most so many runs a language, within the budget.",
    )
    tokenizer: Any = option(
        None, kind="file", help="A Hugging Face tokenizers file; bytes without one."
    )
    held_out_tokens: int = option(
        65_536,
        kind="whole number",
        unit="tokens",
        allowed=at_least(1, "a whole number"),
        help="Tokens of each text that are never trained on.",
    )
    max_overlap: float = option(
        0.2,
        kind="number",
        allowed=_SHARE,
        help="Share of the target text that may stand in the source too.",
    )
    precision: str = option(
        "auto",
        kind="text",
        choices=("float32", "bfloat16", "auto"),
        help="float32, bfloat16 or auto: bfloat16 on accelerators.",
    )
    seed: int = same_as(FitOptions, "seed", help="Another seed, other runs.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """How every run is trained; part of what makes two tables comparable.

    The learning rate follows a warmup–stable–decay schedule: it rises, stays constant and falls
    linearly to (almost) 0, so that it is still high when a final stage that is at least as long as
    the decay begins. It shrinks with the model's width, `rate`·(64/width)^`rate_power`, as measured
    on these models. Batches grow with the square root of the run: `batch`·sqrt(tokens/2^20)
    windows, a power of two.
    """

    length: int = option(
        128,
        kind="whole number",
        unit="tokens",
        allowed=at_least(8, "a whole number"),
        help="Tokens predicted in a window (the context).",
    )
    batch: int = option(
        8,
        kind="whole number",
        unit="windows",
        allowed=counted(1),
        help="Windows a step in a run of 2^20 tokens.",
    )
    rate: float = option(
        4.5e-3, kind="number", allowed=POSITIVE, help="Peak learning rate at width 64."
    )
    rate_power: float = option(
        1.0,
        kind="number",
        allowed=Allowed("a finite number", math.isfinite),
        help="How the rate falls with the width.",
    )
    warmup_fraction: float = option(
        0.03, kind="number", allowed=_SHARE, help="Share of the steps in which the rate rises."
    )
    decay_fraction: float = option(
        0.2, kind="number", allowed=_SHARE, help="Share of the steps in which the rate falls."
    )
    weight_decay: float = option(
        0.1,
        kind="number",
        allowed=at_least(0, "a number"),
        help="Weight decay of AdamW, on all matrices.",
    )
    clip: float = option(
        1.0, kind="number", allowed=POSITIVE, help="Greatest norm of the gradient."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PilotDesign(Options):
    """The space that runs are spread over; ranges are spread evenly in their logarithms."""

    compute_span: float = option(
        16.0,
        kind="number",
        allowed=Allowed("a number above 1", lambda x: 1 < x < math.inf),
        help="The dearest run's compute over the cheapest's.",
    )
    tokens_per_param: tuple[float, float] = option(
        (4.0, 32.0), kind="pair", allowed=_SPAN, help="Tokens trained on for each parameter."
    )
    target_tokens: tuple[float, float] = option(
        (8192.0, math.inf),
        kind="pair",
        unit="tokens",
        allowed=_SPAN,
        help="Least and most unique target tokens; the text may have fewer.",
    )
    epochs: tuple[float, float] = option(
        (1.0, 64.0), kind="pair", allowed=_SPAN, help="Passes over the target tokens."
    )
    target_ratio: tuple[float, float] = option(
        (0.05, 0.9),
        kind="pair",
        allowed=Allowed("0 < low <= high <= 1", lambda x: 0 < x <= 1),
        help="Share of the target language, where there is a source.",
    )
    monolingual: float = option(
        0.15, kind="number", allowed=_SHARE, help="Share of the runs without source text."
    )
    two_stage: float = option(
        0.4, kind="number", allowed=_SHARE, help="Share of the runs with two stages."
    )
    first_shares: Sequence[float] = option(
        (0.0, 0.3, 0.6),
        kind="numbers",
        allowed=Allowed("0 <= share < 1", lambda x: 0 <= x < 1),
        help="Ratio before the final stage over the average ratio, taken in turn.",
    )
    stage_fraction: tuple[float, float] = option(
        (0.2, 0.8),
        kind="pair",
        allowed=Allowed("0 < low <= high < 1", lambda x: 0 < x < 1),
        help="Share of the steps in the final stage. The least must not be below the"
        " `decay_fraction` of the training: the learning rate is to be high when that stage"
        " begins.",
    )
    repeat_every: int = option(
        8,
        kind="whole number",
        allowed=at_least(2, "a whole number"),
        help="Every so many runs one is done again with another seed, to measure noise.",
    )
    max_source_epochs: float = option(
        1.0,
        kind="number",
        allowed=POSITIVE,
        help="Passes over the source text, at most; to laws, source text is read once.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.monolingual + self.two_stage > 1:
            raise M3Error("monolingual, two_stage: expected shares that add up to at most 1")
