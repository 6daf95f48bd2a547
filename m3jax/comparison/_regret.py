"""Recipe regret: what following a law would have cost, among recipes that were all measured."""

from __future__ import annotations

import numpy as np

from ..runs import RunTable

_CORPUS, _BUDGET = 0.02, 0.05  # relative tolerance within which corpora and budgets are the same
_CHOICE = 0.02  # relative difference from which recipes are different


def slices(runs: RunTable, rows: np.ndarray) -> list[np.ndarray]:
    """Groups of `rows` (indices of runs of one language) that one team could have chosen among.

    The runs of a group have the same unique target tokens (to 2%) and the same compute (to 5%), and
    at least two differ, by 2% or more, in model size, epochs, target ratio or final ratio.
    """
    recipe = runs.recipe
    groups = []
    for corpus in _alike(np.asarray(recipe.target_tokens)[rows], _CORPUS):
        same = rows[corpus]
        for budget in _alike(np.asarray(recipe.compute)[same], _BUDGET):
            group = same[budget]
            options = (recipe.n_params, recipe.epochs, recipe.target_ratio, recipe.final_ratio)
            if any(np.ptp(np.log(np.asarray(o)[group])) >= _CHOICE for o in options):
                groups.append(group)
    return groups


def _alike(values: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Indices grouped so that no value is more than `tolerance` above the least of its group."""
    groups: list[list[int]] = []
    least = -np.inf
    for i in np.argsort(values, kind="stable").tolist():
        if values[i] > least * (1 + tolerance) or not groups:
            groups.append([])
            least = values[i]
        groups[-1].append(i)
    return [np.array(group) for group in groups]


def measured_regret(
    runs: RunTable, rows: np.ndarray, predicted: np.ndarray
) -> tuple[float | None, int]:
    """Mean over slices of (measured loss of the recipe predicted best − best measured), nats.

    `predicted` (n,) is of all runs. None where there is no slice; and how many there are.
    """
    groups = slices(runs, rows)
    if not groups:
        return None, 0
    lost = [runs.loss[g[np.argmin(predicted[g])]] - runs.loss[g].min() for g in groups]
    return float(np.mean(lost)), len(groups)
