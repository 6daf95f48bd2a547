"""What runs are worth as they stand on the sheet, beside random ones of the same cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..fitting import predict
from ..recipe import Recipe
from ._belief import Belief, expected_regret


def value_of_runs(
    belief: Belief, recipe: Recipe, random_recipes: Sequence[Recipe], criterion: str, seed: int
) -> dict[str, Any]:
    """The fields of `NextRuns` that say what runs with leaves (n,) are expected to tell.

    `criterion` is "regret" or "coefficients"; a run's `worth` is the share of the gain by it that
    is lost without the run.
    """
    gain = belief.expected_gain if criterion == "regret" else belief.information
    signal = belief.signal(recipe)
    whole = float(gain(signal))
    rows = np.arange(len(signal))
    # A run that tells nothing has a signal of zero.
    without = [float(gain(np.where(rows[:, None] == row, 0.0, signal))) for row in rows]
    random_signals = [belief.signal(runs) for runs in random_recipes]
    now, after = expected_regret(belief, signal, seed)
    log_losses = np.log(predict(belief.law, belief.theta, recipe))  # (B, n)
    return {
        "predicted_loss": np.exp(log_losses.mean(axis=0)),
        "predicted_spread": np.sqrt(np.var(log_losses, axis=0, ddof=1) + float(belief.noise) ** 2),
        "worth": np.clip(1 - np.array(without) / max(whole, 1e-12), 0.0, 1.0),
        "regret_now": now,
        "regret_after": after,
        "regret_random": float(
            np.median([expected_regret(belief, s, seed)[1] for s in random_signals])
        ),
        "information": float(belief.information(signal)),
        "information_random": float(
            np.median([float(belief.information(s)) for s in random_signals])
        ),
    }
