"""The options of `compare`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ._core import PROPER_SHARE, Options, option, same_as
from ._fit import FitOptions

HOLDOUTS = (
    "compute",
    "n_params",
    "total_tokens",
    "epochs",
    "target_tokens",
    "target_ratio",
    "two-stage",
    "folds",
    "language",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareOptions(Options):
    """How laws are compared; every field is a keyword of `compare` and `predict_held_out`."""

    holdouts: Sequence[str] = option(
        ("compute",),
        kind="texts",
        choices=HOLDOUTS,
        flags=("--holdout",),
        help="What to hold out: compute, n_params, total_tokens, epochs (the highest),"
        " target_tokens, target_ratio (the lowest), two-stage, folds, language; may be a list.",
    )
    fraction: float = option(
        0.2, kind="number", allowed=PROPER_SHARE, help="Share of the runs that is held out."
    )
    huber_delta: float | None = same_as(
        FitOptions,
        "huber_delta",
        help="Residuals in log loss beyond this count linearly. By default each fit's own scatter"
        " says it; errors on held-out runs then count by the least delta among the laws.",
    )
    starts: int = same_as(FitOptions, "starts", help="Descents for each fit.")
    prior: Any = same_as(FitOptions, "prior")
    seed: int = same_as(FitOptions, "seed")
