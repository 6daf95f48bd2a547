"""What each language's recipes may be: the user's bounds, completed from what its runs cover."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from ..._errors import M3Error
from ...fitting import Scope
from ...laws import Law
from ...options import Bounds, Limits
from ...recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE
from ...variables import DECISION_VARIABLES
from ..solvers import HELD_WIDTH

_TWO_STAGE_FRACTION = (0.05, 1.0)  # of the final stage, where no run had two stages


@dataclasses.dataclass(frozen=True)
class AllowedRanges:
    """What the recipes of one language may be.

    Attributes:
        bounds: (low, high) by name in `DECISION_VARIABLES`.
        stage_fraction: (low, high) of s in two-stage recipes.
        first_share: r_1 / r of two-stage recipes.
        regimes: those on offer, indices into `recipe.REGIMES`.
        messages: what was held and why.
    """

    bounds: Mapping[str, Bounds]
    stage_fraction: Bounds
    first_share: float
    regimes: tuple[int, ...]
    messages: tuple[str, ...]


def allowed_ranges(
    language: str, law: Law, scope: Scope, limits: Limits, *, extrapolate: bool
) -> AllowedRanges:
    """The allowed ranges of one language.

    A variable the runs or the law say nothing about is held at what was run, unless `extrapolate`.
    Raises `M3Error` where the user's bounds exclude that, and where no size of the ladder is
    within the bounds.
    """
    defaults, messages = _defaults(law, scope, extrapolate=extrapolate)
    bounds = {
        name: _within_runs(language, name, _user_bounds(limits, name), default)
        for name, default in defaults.items()
    }
    if limits.ladder is not None:
        low, high = bounds["n_params"]
        if not any(low * (1 - 1e-9) <= size <= high * (1 + 1e-9) for size in limits.ladder):
            raise M3Error(
                f"language {language!r}: no size of the ladder lies between {low:g} and {high:g},"
                " the n_params allowed"
            )
    two_stage = extrapolate or (
        "final_ratio" in scope.varies and {"final_ratio", "target_ratio"} <= set(law.variables)
    )
    regimes = []
    if bounds["target_ratio"][1] >= 1 - HELD_WIDTH and bounds["final_ratio"][1] >= 1 - HELD_WIDTH:
        regimes.append(MONOLINGUAL)
    if bounds["target_ratio"][0] < 1 - HELD_WIDTH:
        regimes += [SINGLE_STAGE, TWO_STAGE] if two_stage else [SINGLE_STAGE]
    return AllowedRanges(
        bounds=bounds,
        stage_fraction=limits.stage_fraction
        or scope.ranges.get("stage_fraction", _TWO_STAGE_FRACTION),
        first_share=scope.first_share if limits.first_share is None else limits.first_share,
        regimes=tuple(regimes),
        messages=messages,
    )


def _defaults(
    law: Law, scope: Scope, *, extrapolate: bool
) -> tuple[dict[str, Bounds], tuple[str, ...]]:
    """Bounds where the user gives none, and what is held at one value and why."""
    low = {name: scope.ranges[name][0] for name in DECISION_VARIABLES}
    high = {name: scope.ranges[name][1] for name in DECISION_VARIABLES}
    wide = 100.0 if extrapolate else 1.0
    bounds = {
        # Model size is what small runs are extrapolated in; compute bounds it from above.
        "n_params": (low["n_params"] / wide, high["n_params"] * 1e4 * wide),
        "epochs": (min(1.0, low["epochs"]) / wide, high["epochs"] * wide),
        "target_ratio": (low["target_ratio"] / wide, 1.0 if extrapolate else high["target_ratio"]),
        "final_ratio": (low["target_ratio"] / wide, 1.0 if extrapolate else high["final_ratio"]),
    }
    if extrapolate:
        return bounds, ()
    messages = []
    for name in DECISION_VARIABLES:
        reason = ""
        if name not in law.variables and name != "epochs":
            reason = f"law {law.name} does not see it"
        elif name not in scope.varies:
            reason = "the runs do not vary it"
        if not reason or (name == "epochs" and low[name] < high[name]):
            continue
        if name == "final_ratio":
            messages.append(f"one stage only: final_ratio: {reason}")
            continue
        held = high[name] if name == "target_ratio" else float(np.sqrt(low[name] * high[name]))
        bounds[name] = (held, held)
        messages.append(f"{name} held at {held:.6g}: {reason}")
    return bounds, tuple(messages)


def _user_bounds(limits: Limits, name: str) -> Bounds | None:
    """Bounds of a variable that the user gave; those of `n_params` may come from the ladder."""
    bounds: Bounds | None = getattr(limits, name)
    if name == "n_params" and bounds is None and limits.ladder is not None:
        return limits.ladder[0], limits.ladder[-1]
    return bounds


def _within_runs(language: str, name: str, user: Bounds | None, default: Bounds) -> Bounds:
    """The user's bounds, or the default where there are none or the variable is held.

    Raises `M3Error` where they exclude the value at which it is held.
    """
    low, high = default
    if user is None:
        return default
    if high / low - 1 > HELD_WIDTH:
        return user
    if user[0] <= low * (1 + HELD_WIDTH) and high <= user[1] * (1 + HELD_WIDTH):
        return default
    raise M3Error(
        f"language {language!r}: bounds {user[0]:g} to {user[1]:g} exclude the only"
        f" {name} that the runs tell about, {low:g}; widen them or pass extrapolate=True"
    )
