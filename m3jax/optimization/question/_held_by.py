"""What holds a recipe, in words: the limits that bind it, with who set them."""

from __future__ import annotations

import numpy as np

from ... import formatting
from ..._errors import option_name, setting
from ...options import Limits
from ...recipe import Recipe
from ..solvers import LIMITS, NAMED_LIMITS
from ._ranges import AllowedRanges

ACTIVE = 1e-6  # d log loss / d log limit above which a limit is worth naming
_TIGHT = 1e-6  # relative slack

_BUDGETS = ("compute", "gpu_hours")


def limit_in_words(name: str, allowed: AllowedRanges, limits: Limits) -> str:
    """A limit by its name in `LIMITS`, with its value and who set it: "n_params ≤ 3.00B (…)"."""
    side, _, variable = name.partition(" ")
    if variable == "first_ratio":
        return f"first_ratio ≥ {limits.min_first_ratio:.3g} ({option_name('min_first_ratio')})"
    if side == "lowest":
        if variable == "epochs" and allowed.ranges[variable].low <= 1:
            variable = "target_tokens"  # fewer epochs than one are less text
        span = allowed.ranges[variable]
        return _bound(variable, "≥", span.low, span.low_source)
    if side == "highest":
        span = allowed.ranges[variable]
        return _bound(variable, "≤", span.high, span.high_source)
    if name == "total_tokens":
        span = allowed.ranges[name]
        return _bound(name, "≤", span.high, span.high_source)
    if name == "source_tokens":
        times = limits.max_source_epochs
        often = "" if times == 1 else f", {setting('max_source_epochs', f'{times:g}')}"
        most = (limits.max_source_tokens or 0.0) * times
        return _bound(name, "≤", most, f"{option_name('max_source_tokens')}{often}")
    most_loss, most_hours = option_name("max_source_loss"), option_name("max_gpu_hours")
    return {
        "compute": "compute budget",
        "gpu_hours": f"GPU hours ≤ {limits.max_gpu_hours} ({most_hours})",
        "source_loss": f"loss on source text ≤ {limits.max_source_loss} ({most_loss})",
        "constraint": "your own constraint",
    }[name]


def limit_words(allowed: AllowedRanges, limits: Limits) -> dict[str, str]:
    """What may hold a recipe, by name in `NAMED_LIMITS`, and four names more.

    These are "least text" and "most text" of what is read, and "held n_params" and "held
    target_ratio" where these have one value only.
    """
    absent = {
        "gpu_hours": limits.max_gpu_hours,
        "source_tokens": limits.max_source_tokens,
        "lowest first_ratio": limits.min_first_ratio,
    }
    names = [name for name in NAMED_LIMITS if absent.get(name, True) is not None]
    words = {name: limit_in_words(name, allowed, limits) for name in names}
    text = allowed.ranges["target_tokens"]
    words["least text"] = _bound("target_tokens", "≥", text.low, text.low_source)
    words["most text"] = _bound("target_tokens", "≤", text.high, text.high_source)
    for name in ("n_params", "target_ratio"):
        span = allowed.ranges[name]
        if span.is_held:
            words[f"held {name}"] = _bound(name, "=", span.low, span.low_source)
    return words


def held_by(
    recipe: Recipe,
    multipliers: np.ndarray,
    at_hand: float,
    allowed: AllowedRanges,
    limits: Limits,
) -> tuple[str, ...]:
    """What holds one recipe (leaves ()), in words; the budget first.

    `multipliers` are d(log loss)/d(log limit) by `LIMITS`, (17,), and `at_hand` the target tokens
    there are to read. Variables that are held at one value count where no budget does.
    """
    active = [name for name, value in zip(LIMITS, multipliers, strict=True) if value > ACTIVE]
    read = float(recipe.target_tokens) * min(float(recipe.epochs), 1.0)
    words = [
        limit_in_words(name, allowed, limits)
        for name in active
        if not name.endswith(" epochs") or _is_a_bound(name, float(recipe.epochs), allowed)
    ]
    words += _text(read, at_hand, allowed)
    if not any(name in active for name in _BUDGETS):
        if limits.ladder is not None:
            words.append(_bound("n_params", "=", float(recipe.n_params), option_name("ladder")))
        for name in ("n_params", "target_ratio"):
            span = allowed.ranges[name]
            if span.is_held and not (name == "n_params" and limits.ladder is not None):
                words.append(_bound(name, "=", span.low, span.low_source))
    return tuple(dict.fromkeys(words))


def _is_a_bound(name: str, epochs: float, allowed: AllowedRanges) -> bool:
    """Whether epochs are at a bound of theirs, not just where repetition begins or text ends."""
    span = allowed.ranges["epochs"]
    if name == "lowest epochs":
        return span.low > 1 and epochs <= span.low * (1 + _TIGHT)
    return epochs >= span.high * (1 - _TIGHT)


def _text(read: float, at_hand: float, allowed: AllowedRanges) -> list[str]:
    """What keeps a recipe from reading more distinct target tokens than it does."""
    share, cap = allowed.ranges["epochs"], allowed.ranges["target_tokens"]
    if read <= cap.low * (1 + _TIGHT):
        return [_bound("target_tokens", "≥", cap.low, cap.low_source)]
    most = at_hand * min(share.high, 1.0)
    if read < min(most, cap.high) * (1 - _TIGHT):
        return []
    if cap.high < most:
        return [_bound("target_tokens", "≤", cap.high, cap.high_source)]
    if share.high < 1:
        return [_bound("epochs", "≤", share.high, share.high_source)]
    return ["all target text read"]


def _bound(name: str, sign: str, value: float, source: str) -> str:
    text = f"{name} {sign} {formatting.write_brief(name, value)}"
    return f"{text} ({source})" if source else text
