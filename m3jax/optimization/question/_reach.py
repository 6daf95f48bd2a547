"""How far recipes lie from the runs, by variable and in factors, and which runs come next."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from ... import formatting
from ...fitting import Scope
from ...options import Bounds
from ...recipe import TWO_STAGE, Recipe

REACH = 100.0  # times beyond the runs that model size and tokens may go without being told to
MARKED = 10.0  # times beyond the runs from which on runs in between are asked for
_SLACK = 1.001  # times beyond the runs that are not worth a word

# Variables whose fall below the runs is no extrapolation: less of the same text, read once.
_ONLY_ABOVE = ("epochs",)


@dataclasses.dataclass(frozen=True)
class Distance:
    """How far beyond the runs a recipe lies in one variable.

    Attributes:
        variable: its name.
        factor: more than 1.
        side: "above" or "below" the runs.
        runs: what to call these.
    """

    variable: str
    factor: float
    side: str
    runs: str = "the runs"

    def __str__(self) -> str:
        return f"{self.variable} {self.factor:.3g}× {self.side} {self.runs}"


def covered_by(scope: Scope) -> dict[str, Bounds]:
    """(lowest, highest) in the runs, of each variable in which distances are judged.

    A final ratio may be as low as a target ratio. `stage_fraction` is absent without two-stage
    runs.
    """
    names = ("n_params", "total_tokens", "target_tokens", "epochs", "target_ratio")
    covered: dict[str, Bounds] = {name: scope.ranges[name] for name in names}
    covered["final_ratio"] = (scope.ranges["target_ratio"][0], scope.ranges["final_ratio"][1])
    if "stage_fraction" in scope.ranges:
        covered["stage_fraction"] = scope.ranges["stage_fraction"]
    return covered


def distances(scope: Scope, recipe: Recipe) -> tuple[Distance, ...]:
    """In which variables one recipe (leaves ()) lies beyond the runs, the farthest first.

    Target tokens are the distinct ones that it reads: a corpus read in part is a smaller one.
    """
    covered = covered_by(scope)
    found = [
        dataclasses.replace(distance, runs=scope.words)
        for name, value in _judged(recipe).items()
        if name in covered and (distance := distance_from(name, value, covered[name])) is not None
    ]
    return tuple(sorted(found, key=lambda distance: -distance.factor))


def distance_from(name: str, value: float, covered: Bounds) -> Distance | None:
    """How far a value lies beyond what the runs cover; None where it does not."""
    low, high = covered
    if value > high * _SLACK:
        return Distance(name, value / high, "above")
    if value < low / _SLACK and name not in _ONLY_ABOVE:
        return Distance(name, low / value, "below")
    return None


def runs_to_train(scope: Scope, recipe: Recipe) -> str:
    """Which sizes to train on the way to one recipe, in words; "" if it is not far from the runs.

    Evenly spaced in the logarithm from the nearest point that the runs cover, so that no step is
    longer than `MARKED`, the last to the recipe included.
    """
    far = [distance for distance in distances(scope, recipe) if distance.factor > MARKED]
    if not far:
        return ""
    covered, goal = covered_by(scope), _judged(recipe)
    names = ["n_params", "total_tokens"]
    names += [distance.variable for distance in far if distance.variable not in names]
    ways = {
        name: stepping_stones(
            min(max(goal[name], covered[name][0]), covered[name][1]), goal[name], far[0].factor
        )
        for name in names
    }
    return "; then ".join(
        _run_in_words(dict(zip(ways, values, strict=True)))
        for values in zip(*ways.values(), strict=True)
    )


def stepping_stones(start: float, goal: float, factor: float) -> list[float]:
    """Values strictly between two, in as few equal ratios as make `factor` none above `MARKED`."""
    steps = max(math.ceil(math.log(factor) / math.log(MARKED) - 1e-9), 2)
    return [start * (goal / start) ** (i / steps) for i in range(1, steps)]


def _run_in_words(run: Mapping[str, float]) -> str:
    size, tokens = (formatting.count(run[name]) for name in ("n_params", "total_tokens"))
    rest = [
        f"{name} {formatting.write_brief(name, value)}"
        for name, value in run.items()
        if name not in ("n_params", "total_tokens")
    ]
    return ", ".join([f"{size} parameters on {tokens} tokens", *rest])


def _judged(recipe: Recipe) -> dict[str, float]:
    """What is compared with the runs, of one recipe."""
    judged = {
        "n_params": float(recipe.n_params),
        "total_tokens": float(recipe.total_tokens),
        "target_tokens": float(recipe.target_tokens) * min(float(recipe.epochs), 1.0),
        "epochs": float(recipe.epochs),
        "target_ratio": float(recipe.target_ratio),
    }
    if int(recipe.regime) == TWO_STAGE:
        judged["final_ratio"] = float(recipe.final_ratio)
        judged["stage_fraction"] = float(recipe.stage_fraction)
    return judged
