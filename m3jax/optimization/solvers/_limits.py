"""The limits of a recipe as planes in z = (log N, log k, log r, log r_f).

With D = D_T·k/r, a limit such as 6·N·D <= C is linear in z: n + k − r <= log(C/6) − log D_T. So
are all but two: unique source tokens (concave: k·D_T·(1/r − 1) <= S) and a compute budget that also
pays for inference (convex).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...recipe import MONOLINGUAL, TWO_STAGE, Array
from ...variables import DECISION_VARIABLES
from ._question import Question

HELD_WIDTH = 1e-9  # bounds closer than this, in log units, hold their variable

# Linear limits: name -> coefficients of z, for limit >= coefficients·z.
LINEAR_LIMITS = {
    "compute": (1, 1, -1, 0),
    "gpu_hours": (1, 1, -1, 0),
    "total_tokens": (0, 1, -1, 0),
    "lowest n_params": (-1, 0, 0, 0),
    "highest n_params": (1, 0, 0, 0),
    "lowest epochs": (0, -1, 0, 0),
    "highest epochs": (0, 1, 0, 0),
    "lowest target_ratio": (0, 0, -1, 0),
    "highest target_ratio": (0, 0, 1, 0),
    "lowest final_ratio": (0, 0, 0, -1),
    "highest final_ratio": (0, 0, 0, 1),
    "lowest stage_fraction": (0, 0, -1, 1),
    "highest stage_fraction": (0, 0, 1, -1),
    "lowest first_ratio": (0, 0, -1, 0),
}
NAMED_LIMITS = (*LINEAR_LIMITS, "source_tokens")  # the limits of a `RecipeProblem`
LIMITS = (*NAMED_LIMITS, "source_loss", "constraint")  # with those given as functions of the recipe
LIMIT_INDEX = {name: i for i, name in enumerate(LIMITS)}
FAR = 1e9  # where a limit stands that is not there: so far off that nothing feels it


def can_bind(name: str, regime: Any) -> Any:
    """Whether a limit can matter in a regime, or in each of an array of regimes."""
    if name.endswith(("stage_fraction", "first_ratio", "final_ratio")):
        return regime == TWO_STAGE
    return (regime != MONOLINGUAL) | (not (name.endswith("ratio") or name == "source_tokens"))


def right_sides(question: Question, regime: Any, xp: Any = np, *, in_part: Any = False) -> Array:
    """Right-hand sides of `NAMED_LIMITS`, (15,) or (15, P); differentiable in the question.

    "Epochs" are target tokens seen for each at hand. Reading all of the text they are epochs;
    `in_part` their highest is where all is read and their lowest where the least is. `regime` and
    `in_part` are one for all, or (P,).
    """
    q = question
    t = xp.log(q.target_tokens)
    low, high = xp.log(q.low), xp.log(q.high)
    fewest = xp.log(q.fewest_passes(xp)) + 0.0 * t
    limit = {
        "compute": xp.log(q.compute / 6.0) - t,
        "gpu_hours": xp.log(q.gpu_flops / 6.0) - t,
        "total_tokens": xp.log(q.total_tokens) - t,
        "source_tokens": xp.log(q.source_tokens) - t,
    }
    for j, name in enumerate(DECISION_VARIABLES):
        limit[f"lowest {name}"] = -low[j] + 0.0 * t
        limit[f"highest {name}"] = high[j] + 0.0 * t
    least_read = t - xp.log(q.least_tokens) - fewest
    limit["lowest epochs"] = xp.where(in_part, least_read, -fewest)
    limit["highest epochs"] = xp.where(in_part, fewest, limit["highest epochs"])
    # s = (r − r_1)/(r_f − r_1) with r_1 = φ·r gives r_f = r·(φ + (1 − φ)/s): linear in logs.
    share = q.first_share
    limit["lowest stage_fraction"] = xp.log(share + (1 - share) / q.stage_low) + 0.0 * t
    limit["highest stage_fraction"] = -xp.log(share + (1 - share) / q.stage_high) + 0.0 * t
    limited = q.first_ratio > 0
    least = xp.where(limited, q.first_ratio, 1.0)
    # Nothing before the final stage cannot be made something.
    reach = xp.where(share > 0, xp.log(xp.where(share > 0, share, 1.0)), -1e3)
    limit["lowest first_ratio"] = xp.where(limited, reach - xp.log(least), xp.inf) + 0.0 * t
    return xp.stack(
        [xp.where(can_bind(name, regime), limit[name], xp.inf) for name in NAMED_LIMITS]
    )
