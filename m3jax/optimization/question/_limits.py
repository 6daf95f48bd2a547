"""What a user may ask of a recipe: the limits by name, checked, and completed from the runs."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._errors import M3Error
from ...fitting import Fits, Scope
from ...laws import Law
from ...recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE, Array, Recipe
from ...variables import DECISION_VARIABLES
from ..solvers import SAME

Bounds = tuple[float, float]
Constraint = Callable[[Recipe], Array]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the recipe must keep to, beside the compute budget; everything is optional.

    Attributes:
        n_params, epochs, target_ratio, final_ratio: (low, high). By default epochs and ratios stay
            within what was run and the model is at least the smallest that was run.
        ladder: the only model sizes that can be trained, in parameters.
        stage_fraction: (low, high) of the final stage's share of all tokens; default what was run.
        first_share: r_1 / r of two-stage recipes, 0 <= first_share < 1; default what was typical.
        min_first_ratio: lowest r_1, the target ratio before the final stage.
        max_total_tokens: cap on all training tokens D.
        max_source_tokens: unique source tokens there are.
        max_source_epochs: how often they may be read.
        inference_tokens: tokens the model is expected to serve; 2·N FLOP for each of them come out
            of the compute budget.
        max_gpu_hours: cap on training time, with `flops_per_second`, what one GPU achieves.
        max_source_loss: highest loss on source text, nats per token, as `source_fits` predicts it:
            laws fitted to the same runs' losses on source text, under the same language names.
        constraints: JAX functions g(recipe) <= 0 of one recipe of scalars.

    Raises `M3Error` on values outside their range.
    """

    n_params: Bounds | None = None
    epochs: Bounds | None = None
    target_ratio: Bounds | None = None
    final_ratio: Bounds | None = None
    ladder: Sequence[float] | None = None
    stage_fraction: Bounds | None = None
    first_share: float | None = None
    min_first_ratio: float | None = None
    max_total_tokens: float | None = None
    max_source_tokens: float | None = None
    max_source_epochs: float = 1.0
    inference_tokens: float = 0.0
    max_gpu_hours: float | None = None
    flops_per_second: float | None = None
    max_source_loss: float | None = None
    source_fits: Fits | None = None
    constraints: Sequence[Constraint] = ()

    def __post_init__(self) -> None:
        for name in (*DECISION_VARIABLES, "stage_fraction"):
            most = np.inf if name in ("n_params", "epochs") else 1.0
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _bounds(name, value, most))
        for name in (
            "max_total_tokens",
            "max_source_tokens",
            "max_source_epochs",
            "max_gpu_hours",
            "flops_per_second",
            "max_source_loss",
            "min_first_ratio",
        ):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(amounts(name, [value])[0]))
        if self.ladder is not None:
            object.__setattr__(self, "ladder", tuple(np.unique(amounts("ladder", self.ladder))))
        if self.first_share is not None and not 0 <= self.first_share < 1:
            raise M3Error(f"first_share: expected 0 <= first_share < 1, got {self.first_share}")
        if not 0 <= self.inference_tokens < np.inf:
            raise M3Error(f"inference_tokens: expected a number >= 0, got {self.inference_tokens}")
        if self.max_gpu_hours is not None and self.flops_per_second is None:
            raise M3Error("max_gpu_hours: needs flops_per_second, what one GPU achieves")
        if (self.max_source_loss is None) != (self.source_fits is None):
            raise M3Error("max_source_loss and source_fits: expected both or neither")
        constraints = self.constraints
        object.__setattr__(
            self, "constraints", (constraints,) if callable(constraints) else tuple(constraints)
        )

    @classmethod
    def of(cls, **options: Any) -> Limits:
        """From options by name. Raises `M3Error` on an unknown one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
                raise M3Error(f"unknown limit {name!r}; {hint}")
        return cls(**options)


def amounts(name: str, value: npt.ArrayLike) -> np.ndarray:
    """One or more positive finite numbers as (n,) float64."""
    try:
        array = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise M3Error(f"{name}: expected positive numbers, got {value!r}") from error
    if array.ndim != 1 or not array.size or not np.all(np.isfinite(array) & (array > 0)):
        raise M3Error(f"{name}: expected positive finite numbers, got {value!r}")
    return array


def _bounds(name: str, value: Any, most: float) -> Bounds:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError) as error:
        raise M3Error(f"{name}: expected a pair (low, high), got {value!r}") from error
    if not (0 < low <= high < np.inf and high <= most):
        upper = "" if most == np.inf else f" <= {most:g}"
        raise M3Error(f"{name}: expected 0 < low <= high{upper}, got {low:g} and {high:g}")
    return low, high


@dataclasses.dataclass(frozen=True)
class Ground:
    """What one language's recipe may be: the user's bounds, completed from what the runs cover.

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


def ground(language: str, law: Law, scope: Scope, limits: Limits, *, extrapolate: bool) -> Ground:
    """The ground of one language.

    A variable the runs or the law say nothing about is held at what was run, unless `extrapolate`.
    Raises `M3Error` where the user's bounds exclude that.
    """
    low = {name: scope.ranges[name][0] for name in DECISION_VARIABLES}
    high = {name: scope.ranges[name][1] for name in DECISION_VARIABLES}
    wide = 100.0 if extrapolate else 1.0
    default = {
        # Model size is what small runs are extrapolated in; compute bounds it from above.
        "n_params": (low["n_params"] / wide, high["n_params"] * 1e4 * wide),
        "epochs": (min(1.0, low["epochs"]) / wide, high["epochs"] * wide),
        "target_ratio": (low["target_ratio"] / wide, 1.0 if extrapolate else high["target_ratio"]),
        "final_ratio": (low["target_ratio"] / wide, 1.0 if extrapolate else high["final_ratio"]),
    }
    messages = []
    if not extrapolate:
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
            default[name] = (held, held)
            messages.append(f"{name} held at {held:.6g}: {reason}")
    chosen = {}
    for name in DECISION_VARIABLES:
        given: Bounds | None = getattr(limits, name)
        if name == "n_params" and limits.ladder is not None:
            given = given or (limits.ladder[0], limits.ladder[-1])
        start, end = default[name]
        if given is None:
            chosen[name] = (start, end)
        elif end / start - 1 > SAME:
            chosen[name] = given
        elif given[0] <= start * (1 + SAME) and end <= given[1] * (1 + SAME):
            chosen[name] = (start, end)
        else:
            raise M3Error(
                f"language {language!r}: bounds {given[0]:g} to {given[1]:g} exclude the only"
                f" {name} that the runs tell about, {start:g}; widen them or pass extrapolate=True"
            )
    two_stage = extrapolate or (
        "final_ratio" in scope.varies and {"final_ratio", "target_ratio"} <= set(law.variables)
    )
    regimes = []
    if chosen["target_ratio"][1] >= 1 - SAME and chosen["final_ratio"][1] >= 1 - SAME:
        regimes.append(MONOLINGUAL)
    if chosen["target_ratio"][0] < 1 - SAME:
        regimes += [SINGLE_STAGE, TWO_STAGE] if two_stage else [SINGLE_STAGE]
    span = limits.stage_fraction or scope.ranges.get("stage_fraction", (0.05, 1.0))
    share = scope.first_share if limits.first_share is None else limits.first_share
    return Ground(chosen, span, share, tuple(regimes), tuple(messages))
