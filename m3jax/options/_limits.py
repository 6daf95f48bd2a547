"""The limits of a recipe, and the options of `optimize` and of what builds on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._errors import M3Error, option_name, shown
from ._core import (
    POSITIVE,
    PROPER_SHARE,
    Allowed,
    Options,
    at_least,
    counted,
    option,
    same_as,
)

Bounds = tuple[float, float]
OBJECTIVES = ("point", "mean", "mean_log", "quantile", "regret")
METHODS = ("auto", "fast", "general")

_POSITIVES = Allowed("positive finite numbers", POSITIVE.test)
_SPAN = Allowed("a pair (low, high) with 0 < low <= high", POSITIVE.test)
_RATIOS = Allowed("a pair (low, high) with 0 < low <= high <= 1", lambda x: 0 < x <= 1)


def _bounds(help: str, allowed: Allowed) -> Any:
    return option(None, kind="pair", allowed=allowed, help=help)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits(Options):
    """What a recipe must keep to, beside the compute budget; everything is optional.

    By default epochs and ratios stay within what was run, and model size and tokens within 100
    times of it. What is given is kept or refused; `extrapolate` says how far beyond the runs all
    of it may go. Raises `M3Error` on values outside their range and on options without effect.
    """

    n_params: Bounds | None = _bounds("Model sizes allowed, in parameters.", _SPAN)
    epochs: Bounds | None = _bounds("Numbers of epochs allowed.", _SPAN)
    target_ratio: Bounds | None = _bounds("Target ratios allowed.", _RATIOS)
    final_ratio: Bounds | None = _bounds("Final ratios allowed.", _RATIOS)
    ladder: Sequence[float] | None = option(
        None,
        kind="numbers",
        unit="parameters",
        allowed=_POSITIVES,
        help="The only model sizes that can be trained: 70M,160M,410M.",
    )
    stage_fraction: Bounds | None = _bounds(
        "The final stage's share of all tokens. By default what was run.", _RATIOS
    )
    first_share: float | None = option(
        None,
        kind="number",
        allowed=Allowed("a number, 0 <= first_share < 1", lambda x: 0 <= x < 1),
        help="Ratio before the final stage, over the average ratio. It is r_1 / r of two-stage"
        " recipes; by default what was typical of the runs.",
    )
    min_first_ratio: float | None = option(
        None,
        kind="number",
        allowed=POSITIVE,
        help="Lowest target ratio before the final stage.",
    )
    max_total_tokens: float | None = option(
        None,
        kind="number",
        unit="tokens",
        allowed=POSITIVE,
        help="Cap on training tokens.",
    )
    max_source_tokens: float | None = option(
        None,
        kind="number",
        unit="tokens",
        allowed=POSITIVE,
        help="Unique source tokens there are.",
    )
    max_source_epochs: float = option(
        1.0, kind="number", allowed=POSITIVE, help="How often source tokens may be read."
    )
    inference_tokens: float = option(
        0.0,
        kind="number",
        unit="tokens",
        allowed=at_least(0, "a number"),
        help="Tokens to be served, paid from the budget at 2N FLOP each.",
    )
    max_gpu_hours: float | None = option(
        None,
        kind="number",
        unit="hours",
        allowed=POSITIVE,
        help="Cap on training time, with --flops-per-second.",
    )
    flops_per_second: float | None = option(
        None,
        kind="number",
        unit="FLOP/s",
        allowed=POSITIVE,
        help="FLOP/s that one GPU achieves, for --max-gpu-hours.",
    )
    max_source_loss: float | None = option(
        None,
        kind="number",
        unit="nats per token",
        allowed=POSITIVE,
        help="Cap on the loss on source text, for --source-fits.",
    )
    source_fits: Any = option(
        None,
        kind="fit file",
        help="Fit file of the same runs' losses on source text. In Python also the `Fits`; its"
        " languages have the same names.",
    )
    constraints: Sequence[Callable[..., Any]] = option(
        (),
        kind="object",
        flags=(),
        toml=False,
        help="JAX functions g(recipe) <= 0 of one recipe of scalars.",
    )

    extrapolate: float | None = option(
        None,
        kind="number",
        allowed=at_least(1, "a factor"),
        help="How many times beyond the runs every variable may go. It frees what the runs do not"
        " vary, too. By default model size and tokens may go 100 times beyond them, what else is"
        " given as far, and the rest stays within.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ladder is not None:
            object.__setattr__(self, "ladder", tuple(sorted(set(self.ladder))))
        if self.max_gpu_hours is not None and self.flops_per_second is None:
            name = option_name("flops_per_second")
            raise M3Error(f"{option_name('max_gpu_hours')}: needs {name}, what one GPU achieves")
        if self.max_gpu_hours is None and self.flops_per_second is not None:
            raise _without("flops_per_second", "max_gpu_hours")
        if self.max_source_tokens is None and self.max_source_epochs != 1.0:
            raise _without("max_source_epochs", "max_source_tokens")
        if (self.max_source_loss is None) != (self.source_fits is None):
            pair = f"{option_name('max_source_loss')} and {option_name('source_fits')}"
            raise M3Error(f"{pair}: expected both or neither")
        given: Any = self.constraints
        own = (given,) if callable(given) else given
        if not (isinstance(own, Sequence) and all(map(callable, own))):
            raise M3Error(f"constraints: expected one or more functions, got {shown(given)}")
        object.__setattr__(self, "constraints", tuple(own))


def _without(name: str, other: str) -> M3Error:
    return M3Error(f"{option_name(name)}: has no effect without {option_name(other)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizeOptions(Limits):
    """What `optimize` is asked; every field is a keyword of it."""

    compute: Any = option(
        kind="numbers",
        unit="FLOP",
        allowed=_POSITIVES,
        flags=("--compute", "-c"),
        help="Budget(s) 6·N·D in FLOP: 1e20,1e21.",
    )
    target_tokens: Any = option(
        kind="numbers by language",
        unit="tokens",
        flags=("--target-tokens", "-t"),
        help="Unique target tokens: 30M,100M. In Python and TOML also by language.",
    )
    languages: Sequence[str] | None = option(
        None,
        kind="texts",
        flags=(),
        help="Which of the fitted languages; all by default.",
    )
    objective: str = option(
        "point",
        kind="text",
        choices=OBJECTIVES,
        help='point, or over the draws: mean, mean_log, quantile, regret. "point" is the loss under'
        ' the fitted coefficients; "mean_log" the mean log loss, where the unit of a loss has no'
        ' say; "quantile" the loss\'s quantile at `level`; "regret" the largest'
        " loss given up against any draw's own best recipe.",
    )
    certify: bool = option(
        False, kind="true or false", help="Prove each recipe best, by branch and bound."
    )
    gap: float = option(
        1e-4,
        kind="number",
        unit="log loss",
        allowed=POSITIVE,
        help="Gap to prove with --certify.",
    )
    method: str = option(
        "auto",
        kind="text",
        choices=METHODS,
        help="fast: laws made of terms, named limits; general: any; auto: the first that can.",
    )
    draws: int = option(
        100,
        kind="whole number",
        allowed=at_least(0, "a whole number"),
        help="Bootstrap draws to use for intervals. At most those in the fits.",
    )
    level: float = option(0.9, kind="number", allowed=PROPER_SHARE, help="Level of the intervals.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapOptions(Limits):
    """What `map_regimes` is asked; every field is a keyword of it."""

    compute: Bounds = option(
        kind="pair",
        unit="FLOP",
        allowed=_SPAN,
        flags=("--compute", "-c"),
        help="Lowest and highest budget in FLOP: 1e19,1e21.",
    )
    target_tokens: Bounds = option(
        kind="pair",
        unit="tokens",
        allowed=_SPAN,
        flags=("--target-tokens", "-t"),
        help="Lowest and highest unique target tokens: 10M,10B.",
    )
    budgets: int = option(13, kind="whole number", allowed=counted(2), help="Budgets of the map.")
    sizes: int = option(
        33,
        kind="whole number",
        allowed=counted(2),
        help="Corpus sizes of the map. Thresholds are found between the sizes, so the"
        " grid need only see every region once.",
    )
    draws: int = same_as(OptimizeOptions, "draws", default=50)
    level: float = same_as(OptimizeOptions, "level")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitOptions(Limits):
    """What `split_budget` and `shared_model` are asked; every field is a keyword of them."""

    compute: float = option(
        kind="number",
        unit="FLOP",
        allowed=POSITIVE,
        flags=("--compute", "-c"),
        help="Budget for all languages together, in FLOP.",
    )
    target_tokens: Any = same_as(
        OptimizeOptions, "target_tokens", help="Unique target tokens of each language."
    )
    weights: Mapping[str, float] | None = option(
        None,
        kind="numbers by name",
        allowed=POSITIVE,
        help="What each language's loss counts: Indonesian=2,Japanese=1. 1 by default.",
    )
    languages: Sequence[str] | None = same_as(OptimizeOptions, "languages")
