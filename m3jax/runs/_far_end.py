"""The far end of a variable: the runs that hold-outs leave out."""

from __future__ import annotations

import numpy as np

from ..recipe import Recipe

# +1 the highest, -1 the lowest: where questions lie that small runs do not answer.
FAR_END = {
    "compute": 1,
    "n_params": 1,
    "total_tokens": 1,
    "epochs": 1,
    "target_tokens": -1,
    "target_ratio": -1,
}
_EQUAL = 1e-9  # relative difference up to which values are one


def far_end(recipe: Recipe, variable: str, fraction: float) -> np.ndarray:
    """Which of the runs (n,) of one language lie at the far end of a member of `FAR_END`, bool.

    The `fraction` of them with the highest values, or the lowest (target_tokens, target_ratio).
    Equal values go together; where all are equal none lies at the end.
    """
    value = FAR_END[variable] * np.asarray(getattr(recipe, variable))
    tolerance = _EQUAL * np.abs(value).max()
    edge = np.quantile(value, 1 - fraction, method="higher")
    lowest = value.min()
    if edge <= lowest + tolerance:  # so many equal values that the edge is the near end
        above = value[value > lowest + tolerance]
        edge = above.min() if len(above) else np.inf
    return np.asarray(value >= edge - tolerance)
