"""What a language's runs cover, and which coefficients that lets them determine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping

import jax
import numpy as np

from ...laws import Law
from ...recipe import Recipe
from ...variables import RUN_VARIABLES, VARIABLES

_LEAST_REMAINDER = 1e-7  # of a unit column, after projection, for it to count as its own
_LEAST_EFFECT = 1e-9  # root mean square change of log losses by a unit step in a coefficient
_LEAST_SPREAD = 1e-9  # of a log-variable, below which it did not vary


@dataclasses.dataclass(frozen=True)
class Scope:
    """What the runs of one language cover, or of several together.

    Attributes:
        ranges: variable -> (lowest, highest) in the runs, target tokens being those that were read
            and epochs those over them; `stage_fraction` only of two-stage runs
            and absent without any.
        varies: the members of `variables.RUN_VARIABLES` that the runs say something about. "epochs"
            counts only if some run goes beyond one epoch, "final_ratio" only if there are
            two-stage runs, "first_ratio" only if r_1 / r differs between these.
        first_share: median of r_1 / r over the two-stage runs, 0 without any.
        languages: whose runs they are: more than one where languages are pooled.
        name: what to call the runs, if not by the number of languages.
    """

    ranges: Mapping[str, tuple[float, float]]
    varies: frozenset[str]
    first_share: float
    languages: int = 1
    name: str = ""

    @property
    def words(self) -> str:
        """What to call the runs in a sentence."""
        return self.name or ("the runs" if self.languages == 1 else "the pooled runs")

    @classmethod
    def of(cls, recipe: Recipe) -> Scope:
        """The scope of runs with these recipes (NumPy leaves of shape (n,))."""
        (scope,) = cls.of_each(
            jax.tree.map(lambda leaf: np.asarray(leaf)[None], recipe),
            np.ones((1, len(recipe.n_params)), dtype=bool),
        )
        return scope

    @classmethod
    def of_each(cls, recipe: Recipe, mask: np.ndarray) -> list[Scope]:
        """The scopes of L languages: NumPy leaves of shape (L, n), of which `mask` are real."""
        recipe = recipe.as_read()  # text that was not read was no part of a run
        two = np.asarray(recipe.is_two_stage) & mask
        ranged = tuple(name for name in RUN_VARIABLES if name != "first_ratio")
        values = {name: getattr(recipe, name) for name in (*ranged, "compute")}
        # Padding repeats a language's first run, so only the stage needs the mask.
        spans = {name: (v.min(axis=1), v.max(axis=1)) for name, v in values.items()}
        fraction = np.asarray(recipe.stage_fraction)
        shortest = np.min(fraction, axis=1, where=two, initial=np.inf)
        longest = np.max(fraction, axis=1, where=two, initial=0.0)
        scopes = []
        for i in range(len(mask)):
            ranges = {name: (float(low[i]), float(high[i])) for name, (low, high) in spans.items()}
            varies = {name for name in ranged if _log_span(ranges[name]) > _LEAST_SPREAD}
            if ranges["epochs"][1] <= 1 + _LEAST_SPREAD:
                varies.discard("epochs")
            share = 0.0
            if longest[i] > 0:
                ranges["stage_fraction"] = (float(shortest[i]), float(longest[i]))
                shares = (recipe.first_ratio[i] / recipe.target_ratio[i])[two[i]]
                share = float(np.median(shares))
                if np.ptp(shares) > _LEAST_SPREAD:
                    varies.add("first_ratio")
            else:
                varies.discard("final_ratio")
            scopes.append(cls(ranges, frozenset(varies), share))
        return scopes

    def constant(self, variable: str) -> str:
        """In words, that a member of `variables.RUN_VARIABLES` does not vary."""
        if variable == "target_ratio" and self.ranges[variable] == (1.0, 1.0):
            return "no run has source text"
        return VARIABLES[variable].constant


def _log_span(span: tuple[float, float]) -> float:
    return math.log(span[1] / span[0])


def unmet_needs(law: Law, scope: Scope, fixed: Collection[str]) -> tuple[set[str], list[str]]:
    """Coefficients that the runs cannot determine because a variable does not vary, and why."""
    frozen: dict[str, list[str]] = {}  # variable -> coefficients that need it to vary
    for variable in RUN_VARIABLES:
        for c in law.coefficients:
            taken = c.name in fixed or any(c.name in names for names in frozen.values())
            if variable in c.needs and variable not in scope.varies and not taken:
                frozen.setdefault(variable, []).append(c.name)
    messages = []
    for variable, names in frozen.items():
        text = f"{scope.constant(variable)}: {', '.join(names)} not determined, held at neutral"
        if variable == "final_ratio" and "eta" in names and "gamma" in law.names:
            text += " (eta = 0: gamma stands for gamma + eta)"
        messages.append(text)
    return {name for names in frozen.values() for name in names}, messages


def undetermined(jacobian: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which free columns of Jacobians (L, n, p) do nothing, and which the earlier ones repeat.

    The rank of the Jacobian with columns scaled to unit length, by QR: column j is redundant where
    |R_jj|, its remainder after projection on the columns before it, vanishes. Columns come in the
    law's order of coefficients, so that of two that cannot be told apart the earlier one is kept.
    Both results are (L, p) bool.
    """
    norm = np.linalg.norm(jacobian, axis=1)
    n, p = jacobian.shape[1:]
    idle = free & (norm <= _LEAST_EFFECT * np.sqrt(n))
    redundant = np.zeros_like(free)
    live = free & ~idle
    scaled = jacobian / np.where(live, norm, np.inf)[:, None]
    # Rows of zeros change no remainder, and give the factor a diagonal entry for every column.
    scaled = np.pad(scaled, ((0, 0), (0, max(p - n, 0)), (0, 0)))
    remainder = np.abs(np.einsum("ljj->lj", np.linalg.qr(scaled, mode="r")))
    # The factor tells where every column counts, which is nearly everywhere; but after a redundant
    # column its later entries mean nothing. There Gram–Schmidt, which can leave a column out.
    suspects = (live & (remainder < 10 * _LEAST_REMAINDER)).any(axis=1)
    for i in np.flatnonzero(suspects):
        basis: list[np.ndarray] = []
        for j in map(int, np.flatnonzero(live[i])):
            rest = scaled[i, :, j]
            for _ in range(2):  # twice: once loses orthogonality where it matters most
                for q in basis:
                    rest = rest - (q @ rest) * q
            size = np.linalg.norm(rest)
            redundant[i, j] = size < _LEAST_REMAINDER
            if not redundant[i, j]:
                basis.append(rest / size)
    return idle, redundant
