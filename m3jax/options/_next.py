"""The options of `next_runs`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ._core import POSITIVE, at_least, counted, option, same_as
from ._fit import FitOptions
from ._limits import Bounds, Limits, OptimizeOptions

CRITERIA = ("regret", "coefficients")
FEWEST_DRAWS = 20  # that tell anything of a covariance


@dataclasses.dataclass(frozen=True, kw_only=True)
class NextOptions(Limits):
    """What `next_runs` is asked; the limits are those of the recipe to be decided on."""

    budget: float = option(
        kind="number",
        unit="FLOP",
        allowed=POSITIVE,
        flags=("--budget", "-b"),
        help="FLOP for all runs of a language together.",
    )
    runs: int = option(
        8,
        kind="whole number",
        allowed=counted(1),
        flags=("--runs", "-n"),
        help="How many, for each language.",
    )
    compute: Any = same_as(
        OptimizeOptions,
        "compute",
        default=None,
        help="Budget(s) of the recipe to decide on; by default ten times the largest run.",
    )
    target_tokens: Any = option(
        None,
        kind="numbers",
        unit="tokens",
        allowed=POSITIVE,
        flags=("--target-tokens", "-t"),
        help="Unique target tokens there are; by default the most in the runs. No further run takes"
        " more than the largest of them.",
    )
    run_ladder: Any = same_as(
        Limits,
        "ladder",
        help="The only sizes that the runs may have, by default the ladder of the recipe.",
    )
    criterion: str = option(
        "regret",
        kind="text",
        choices=CRITERIA,
        help="regret: lower the regret of the recipe; coefficients: know the coefficients. The"
        " second is D-optimal, it raises log det of the precision of the coefficients.",
    )
    ranges: Mapping[str, Bounds] = option(
        {},
        kind="pairs by name",
        flags=(),
        help="Ranges of the runs' n_params, target_tokens, epochs, target_ratio and stage_fraction."
        " By default within what has been run.",
    )
    reach: float = option(
        1.0,
        kind="number",
        allowed=at_least(1, "a number"),
        help="How many times beyond the ranges of the runs; 1: within.",
    )
    max_loss: float | None = option(
        None,
        kind="number",
        unit="nats per token",
        allowed=POSITIVE,
        help="Propose no run whose predicted loss is higher. A law says little of runs that would"
        " go wrong, though they tell its coefficients apart.",
    )
    noise: float | None = option(
        None,
        kind="number",
        unit="log loss",
        allowed=POSITIVE,
        help="Standard deviation of log losses; by default what the fit left over.",
    )
    draws: int = option(
        200,
        kind="whole number",
        allowed=at_least(FEWEST_DRAWS, "a whole number"),
        help="Bootstrap draws to use.",
    )
    starts: int = option(
        3,
        kind="whole number",
        allowed=counted(1),
        flags=(),
        help="Random designs that are improved; the best result is taken.",
    )
    seed: int = same_as(FitOptions, "seed", help="Same seed, same runs.")
