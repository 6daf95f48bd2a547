"""What a language's runs cover, and which coefficients that lets them determine."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from ..laws import VARIABLES, Law
from ..recipe import Recipe

_NEGLIGIBLE = 1e-9  # spread of a log-variable below which it did not vary


@dataclasses.dataclass(frozen=True)
class Scope:
    """The ground that the runs of one language cover.

    Attributes:
        ranges: variable -> (lowest, highest) in the runs; `stage_fraction` only of two-stage runs
            and absent without any.
        varies: the members of `laws.VARIABLES` that the runs say something about. "epochs" counts
            only if some run goes beyond one epoch, "final_ratio" only if there are two-stage runs.
        first_share: r_1 / r typical (median) of the two-stage runs, 0 without any.
    """

    ranges: Mapping[str, tuple[float, float]]
    varies: frozenset[str]
    first_share: float

    @classmethod
    def of(cls, recipe: Recipe) -> Scope:
        """The scope of runs with these recipes (NumPy leaves of shape (n,))."""
        values = {
            name: np.asarray(getattr(recipe, name), dtype=np.float64)
            for name in (*VARIABLES, "compute")
        }
        two = np.asarray(recipe.is_two_stage)
        varies = {name for name in VARIABLES if np.ptp(np.log(values[name])) > _NEGLIGIBLE}
        if values["epochs"].max() <= 1 + _NEGLIGIBLE:
            varies.discard("epochs")
        if not two.any():
            varies.discard("final_ratio")
        ranges = {name: (float(v.min()), float(v.max())) for name, v in values.items()}
        share = 0.0
        if two.any():
            fraction = np.asarray(recipe.stage_fraction)[two]
            ranges["stage_fraction"] = (float(fraction.min()), float(fraction.max()))
            share = float(np.median((recipe.first_ratio / recipe.target_ratio)[two]))
        return cls(ranges, frozenset(varies), share)


_REASONS = {
    "n_params": "all runs have one model size",
    "target_tokens": "all runs have one corpus size",
    "epochs": "no run goes beyond one epoch",
    "total_tokens": "all runs have the same total tokens",
    "target_ratio": "all runs have one target ratio",
    "final_ratio": "no two-stage runs",
}


def unmet_needs(law: Law, scope: Scope, fixed: Collection[str]) -> tuple[set[str], list[str]]:
    """Coefficients that the runs cannot determine because a variable does not vary, and why."""
    frozen: dict[str, list[str]] = {}
    for variable in VARIABLES:
        for c in law.coefficients:
            taken = c.name in fixed or any(c.name in names for names in frozen.values())
            if variable in c.needs and variable not in scope.varies and not taken:
                frozen.setdefault(variable, []).append(c.name)
    messages = []
    for variable, names in frozen.items():
        text = f"{_REASONS[variable]}: {', '.join(names)} not determined, held at neutral"
        if variable == "final_ratio" and "eta" in names and "gamma" in law.names:
            text += " (eta = 0: gamma stands for gamma + eta)"
        messages.append(text)
    return {name for names in frozen.values() for name in names}, messages


def undetermined(jacobian: np.ndarray, free: np.ndarray) -> tuple[list[int], list[int]]:
    """Free columns of a (n, p) Jacobian that do nothing, and those the earlier ones make redundant.

    The rank of the standardised Jacobian, found column by column in the law's order of
    coefficients, so that of two that cannot be told apart the earlier one is kept.
    """
    basis: list[np.ndarray] = []
    idle, redundant = [], []
    floor = 1e-9 * np.sqrt(len(jacobian))  # a unit step in theta changes log losses by less
    for i in map(int, np.flatnonzero(free)):
        norm = np.linalg.norm(jacobian[:, i])
        if norm <= floor:
            idle.append(i)
            continue
        rest = jacobian[:, i] / norm
        for _ in range(2):  # twice: once loses orthogonality where it matters most
            for q in basis:
                rest = rest - (q @ rest) * q
        left = np.linalg.norm(rest)
        if left < 1e-7:
            redundant.append(i)
        else:
            basis.append(rest / left)
    return idle, redundant
