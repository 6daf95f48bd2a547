"""Numbers and names as people read them, shared by terminal tables and the report."""

from __future__ import annotations

import math
from collections.abc import Callable

MISSING = "–"

_SUFFIXES = ("", "K", "M", "B", "T")

_LIMITS = {
    "compute": "compute budget",
    "total_tokens": "cap on total tokens",
    "lowest n_params": "smallest model allowed",
    "highest n_params": "largest model allowed",
    "lowest epochs": "fewest epochs allowed",
    "highest epochs": "most epochs allowed",
    "lowest target_ratio": "lowest target ratio allowed",
    "highest target_ratio": "highest target ratio allowed",
    "lowest final_ratio": "lowest final ratio allowed",
    "highest final_ratio": "highest final ratio allowed",
    "lowest stage_fraction": "shortest final stage allowed",
    "highest stage_fraction": "longest final stage allowed",
    "source_tokens": "source tokens available",
    "gpu_hours": "GPU hours available",
    "lowest first_ratio": "lowest ratio allowed before the final stage",
    "source_loss": "cap on the loss on source text",
    "constraint": "your own constraint",
}


def count(x: float | None) -> str:
    """Parameters or tokens to three significant digits: 512, 37.0K, 1.20M, 3.40B."""
    if x is None or not math.isfinite(x):
        return MISSING
    # Round first, so that 999 999 becomes 1.00M and not 1000K.
    rounded = float(f"{x:.3g}")
    if abs(rounded) < 1000:
        return f"{rounded:g}"
    power = min(int(math.log10(abs(rounded)) / 3 + 1e-9), len(_SUFFIXES) - 1)
    scaled = rounded / 1000.0**power
    number = f"{scaled:.0f}" if abs(scaled) >= 100 else f"{scaled:#.3g}"
    return number + _SUFFIXES[power]


def flop(x: float | None) -> str:
    """Compute: 2.5e+11."""
    return MISSING if x is None or not math.isfinite(x) else f"{x:.3g}"


def ratio(x: float | None) -> str:
    """Ratios and epochs to three significant digits: 0.340, 46.9, 1.00."""
    if x is None or not math.isfinite(x):
        return MISSING
    return f"{x:.0f}" if abs(x) >= 99.95 else f"{x:#.3g}"


def loss(x: float | None) -> str:
    """Losses and differences of losses, nats per token: 1.7005."""
    return MISSING if x is None or not math.isfinite(x) else f"{x:.4f}"


def interval(low: float | None, high: float | None, fmt: Callable[[float | None], str]) -> str:
    """An interval, both ends written by `fmt`: 22.8–64.0."""
    return MISSING if low is None or high is None else f"{fmt(low)}–{fmt(high)}"


def limit_in_words(name: str) -> str:
    """What a member of `optimize.LIMITS` means, as "compute budget"; other names as they are."""
    return _LIMITS.get(name, name)
