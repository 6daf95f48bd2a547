"""The options of `m3jax pilot`."""

from __future__ import annotations

import dataclasses
from typing import Any

from ._core import POSITIVE, Allowed, Options, at_least, option, same_as
from ._fit import FitOptions


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
        kind="file",
        help="Instead: train these recipes, a .csv file (`m3jax optimize --recipes`).",
    )
    seeds: int = option(
        3,
        kind="whole number",
        allowed=at_least(1, "a whole number"),
        help="Runs of each of --recipes.",
    )
    runs: int = option(
        100,
        kind="whole number",
        allowed=at_least(1, "a whole number"),
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
        allowed=Allowed("a number from 0 to 1", lambda x: 0 <= x <= 1),
        help="Share of the target text that may stand in the source too.",
    )
    precision: str = option(
        "auto",
        kind="text",
        choices=("float32", "bfloat16", "auto"),
        help="float32, bfloat16 or auto: bfloat16 on accelerators.",
    )
    seed: int = same_as(FitOptions, "seed", help="Another seed, other runs.")
