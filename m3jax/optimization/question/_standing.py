"""How a recipe stands: what it uses of the budget, what holds it, how far it is from the runs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import formatting
from ...fitting import Scope
from ...options import Limits
from ...recipe import Recipe
from ._held_by import held_by
from ._ranges import AllowedRanges
from ._reach import MARKED, REACH, Distance, distances, runs_to_train

SPENT = 0.95  # share of a budget from which on it counts as used


@dataclasses.dataclass(frozen=True)
class Standing:
    """How one recipe stands.

    Attributes:
        compute: the budget, FLOP.
        budget_used: share of it that training takes, and serving where that is paid from it.
        held_by: the limits that hold the recipe, in words.
        outside: in which variables it lies beyond the runs, the farthest first.
        next_runs: which sizes to train before, in words; "" if it is not far beyond them.
    """

    compute: float
    budget_used: float
    held_by: tuple[str, ...]
    outside: tuple[Distance, ...]
    next_runs: str

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        multipliers: np.ndarray,
        *,
        compute: float,
        at_hand: float,
        scope: Scope,
        allowed: AllowedRanges,
        limits: Limits,
    ) -> Standing:
        """Of one recipe (leaves ()) with its multipliers by `LIMITS`, (17,).

        `at_hand` are the target tokens there are to read from.
        """
        serving = 2.0 * float(recipe.n_params) * limits.inference_tokens
        return cls(
            compute=compute,
            budget_used=(float(recipe.compute) + serving) / compute,
            held_by=held_by(recipe, multipliers, at_hand, allowed, limits),
            outside=distances(scope, recipe),
            next_runs=runs_to_train(scope, recipe),
        )

    @property
    def extrapolation(self) -> str:
        """The farthest that it lies beyond the runs, in steps."""
        farthest = self.outside[0].factor if self.outside else 1.0
        if farthest <= 1.0:
            return "none"
        steps = [step for step in (MARKED, REACH) if farthest <= step * (1 + 1e-6)]
        return f"up to {steps[0]:g}×" if steps else f"beyond {REACH:g}×"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must not be overlooked, in sentences."""
        sentences = []
        if self.budget_used < SPENT:
            sentences.append(
                f"only {100 * self.budget_used:.2g}% of the {formatting.flop(self.compute)} FLOP is"
                f" used; held by {'; '.join(self.held_by) or 'no limit: more would not help'}"
            )
        far = [str(distance) for distance in self.outside if distance.factor > MARKED]
        if far:
            sentences.append(f"{', '.join(far)}: train {self.next_runs} before you rely on it")
        return tuple(sentences)

    def record(self) -> dict[str, Any]:
        """All of it by name, for tables and JSON."""
        return {
            "budget_used": self.budget_used,
            "held_by": list(self.held_by),
            "extrapolation": self.extrapolation,
            "outside_runs": [str(distance) for distance in self.outside],
            "warnings": list(self.warnings),
        }


NO_STANDING: dict[str, Any] = {
    "budget_used": None,
    "held_by": [],
    "extrapolation": None,
    "outside_runs": [],
    "warnings": [],
}


def summary(standings: Mapping[str, Standing]) -> tuple[str, ...]:
    """Many standings, by the place of each in words, in a sentence or two."""
    told = []
    unspent = {p: s for p, s in standings.items() if s.budget_used < SPENT}
    if unspent:
        held = Counter(words for standing in unspent.values() for words in standing.held_by)
        least = min(standing.budget_used for standing in unspent.values())
        most = "; ".join(f"{words} ({count})" for words, count in held.most_common(4))
        told.append(
            f"{len(unspent)} of {len(standings)} recipes leave a part of the budget unspent, the"
            f" least uses {100 * least:.2g}%; held by {most or 'no limit: more would not help'}"
        )
    beyond = {p: s for p, s in standings.items() if s.outside}
    if beyond:
        place = max(beyond, key=lambda p: beyond[p].outside[0].factor)
        far = sum(standing.outside[0].factor > MARKED for standing in beyond.values())
        outside = ", ".join(map(str, beyond[place].outside))
        ahead = beyond[place].next_runs
        told.append(
            f"{len(beyond)} of {len(standings)} recipes lie beyond the runs, {far} of them more"
            f" than {MARKED:g}×; the farthest, {place}: {outside}"
            + (f": train {ahead} before you rely on it" if ahead else "")
        )
    return tuple(told)
