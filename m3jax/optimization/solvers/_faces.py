"""Build the recipe problem of a regime: its box, which limits count, whether it is feasible."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from ...recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE, Array
from ._limits import FAR, HELD_WIDTH, LIMIT_INDEX, NAMED_LIMITS, right_sides
from ._question import Question
from ._recipe_problem import RecipeProblem, log_largest_model, log_most_epochs, log_token_room


def build_problem(
    question: Question,
    regime: Any,
    xp: Any = np,
    rows: tuple[str, ...] | None = None,
    lift: bool = False,
    in_part: Any = False,
) -> tuple[RecipeProblem, Array]:
    """One regime of P problems, and which of them have any solution, (P,) bool.

    All text at hand is read, or `in_part` a part of it.
    `rows` may be given where the arrays are traced; else those that are needed are found. `lift`
    writes any regime as two-stage with variables held (r_f = r; r = 1), so that all regimes can be
    solved in one batch: less to compile, more to compute. There `regime` and `in_part` may be
    arrays (P,).
    """
    limit = right_sides(question, regime, xp, in_part=in_part)
    share = question.first_share
    if lift:
        sides = zip(NAMED_LIMITS, limit, strict=True)
        limit = xp.stack([xp.where(_held_by_lift(n, regime), 0.0, side) for n, side in sides])
        share = xp.where(regime == TWO_STAGE, share, 1.0)
        regime = TWO_STAGE
    served = question.inference_tokens
    serves = isinstance(served, jax.core.Tracer) or bool(np.any(np.asarray(served) > 0))
    t = xp.log(question.target_tokens)
    serves_some = question.inference_tokens > 0
    owed = xp.log(xp.where(serves_some, question.inference_tokens, 1.0) / 3.0)
    serving = xp.where(serves_some, owed, -FAR) - t
    log_fewest = xp.log(question.fewest_passes(xp)) + 0.0 * t
    parts = xp.broadcast_to(xp.asarray(in_part), t.shape)
    problem, possible = face(
        limit, t, log_fewest, parts, serving, share + 0.0 * t, regime, serves, xp, rows
    )
    # Fewer than one epoch over all the text is a part of it, read once.
    enough = (question.high[1] >= 1) & (question.target_tokens >= question.least_tokens)
    return problem, possible & (in_part | enough)


def _held_by_lift(name: str, regime: Any) -> Any:
    """Whether a limit holds what a regime lacks: the stage, the ratio."""
    if name.endswith("stage_fraction"):
        return regime != TWO_STAGE
    return name.endswith("target_ratio") & (regime == MONOLINGUAL)


def face(
    limit: Array,
    log_tokens: Array,
    log_fewest: Array,
    in_part: Array,
    serving: Array,
    share: Array,
    regime: int,
    serves: bool,
    xp: Any = np,
    rows: tuple[str, ...] | None = None,
) -> tuple[RecipeProblem, Array]:
    """`build_problem` from right-hand sides."""
    at = {name: limit[i] for i, name in enumerate(NAMED_LIMITS)}
    zero = 0.0 * log_tokens
    n_low, n_high = -at["lowest n_params"], at["highest n_params"]
    k_low, k_high = -at["lowest epochs"], at["highest epochs"]
    tilt = zero
    rough = RecipeProblem(
        log_tokens,
        log_fewest,
        in_part,
        limit,
        limit,
        serving,
        None,
        None,
        tilt,
        share,
        None,
        regime,
        NAMED_LIMITS,
        serves,
    )
    room = log_token_room(rough, n_low, xp)
    if regime == MONOLINGUAL:
        r_low = r_high = zero
    else:
        r_low = xp.maximum(-at["lowest target_ratio"], k_low - room)
        r_high = at["highest target_ratio"]
        # k·D_T·(1/r − 1) <= S at the fewest epochs.
        r_low = xp.maximum(r_low, -xp.logaddexp(0.0, at["source_tokens"] - k_low))
        narrow, wide = zero, zero
        if regime == TWO_STAGE:
            narrow, wide = -at["highest stage_fraction"], at["lowest stage_fraction"]
            r_low = xp.maximum(r_low, -at["lowest first_ratio"])
        f_low, f_high = -at["lowest final_ratio"], at["highest final_ratio"]
        r_low = xp.maximum(r_low, f_low - wide)
        r_high = xp.minimum(r_high, f_high - narrow)
        f_low = xp.maximum(f_low, r_low + narrow)
        f_high = xp.minimum(f_high, r_high + wide)
    k_high = xp.minimum(k_high, log_most_epochs(rough, n_low, r_high, xp))
    n_high = xp.minimum(n_high, log_largest_model(rough, k_low - r_high, xp))
    low, high = [n_low, k_low], [n_high, k_high]
    if regime != MONOLINGUAL:
        low, high = [*low, r_low], [*high, r_high]
    if regime == TWO_STAGE:
        # Where the stage is held, move along it; else move r_f by itself.
        held = wide - narrow <= HELD_WIDTH
        tilt = xp.where(held, 1.0, 0.0)
        low.append(xp.where(held, narrow, f_low))
        high.append(xp.where(held, wide, f_high))
    low, high = xp.stack(low), xp.stack(high)
    possible = xp.all(low <= high + HELD_WIDTH, axis=0)
    if regime == TWO_STAGE:
        possible = possible & (wide >= narrow - HELD_WIDTH) & (f_low <= f_high + HELD_WIDTH)
    # What has no solution is never solved, but its numbers stay finite.
    low, high = xp.where(possible, low, 0.0), xp.where(possible, high, 1.0)
    # A box of no width holds its variable, at a place all limits allow.
    middle = (low + high) / 2
    shut = high - low <= HELD_WIDTH
    low, high = xp.where(shut, middle, low), xp.where(shut, middle, high)
    sides = _without_idle(limit, low, high, tilt, regime, serves, xp)
    if rows is None:
        there = np.isfinite(limit) & possible
        rows = tuple(
            name for name, any_one in zip(NAMED_LIMITS, there.any(axis=-1), strict=True) if any_one
        )
    return (
        dataclasses.replace(
            rough, sides=sides, low=low, high=high, tilt=tilt, rows=rows, serves=serves
        ),
        possible,
    )


def with_limits(
    problem: RecipeProblem, limit: Array, rows: tuple[str, ...]
) -> tuple[RecipeProblem, Array]:
    """The problems with other right-hand sides (15, P), and which have any solution, (P,) bool."""
    p = problem
    told = p.log_tokens, p.log_fewest, p.in_part, p.serving, p.first_share, p.regime, p.serves
    return face(limit, *told, np, rows)


def _without_idle(
    limit: Array, low: Array, high: Array, tilt: Array, regime: int, serves: bool, xp: Any
) -> Array:
    """Right-hand sides, infinite for limits that others keep anyway: none is there twice."""
    at = dict(zip(NAMED_LIMITS, limit, strict=True))
    place = {"n_params": 0, "epochs": 1, "target_ratio": 2}
    for variable, j in place.items():
        if j < len(low):
            for name, own in ((f"lowest {variable}", -low[j]), (f"highest {variable}", high[j])):
                idle = (own < at[name] - HELD_WIDTH) | (high[j] - low[j] <= HELD_WIDTH)
                at[name] = xp.where(idle, xp.inf, at[name])
    for side, sign in (("lowest", -1.0), ("highest", 1.0)):
        name = f"{side} final_ratio"
        if regime == SINGLE_STAGE:
            idle = at[name] >= limit[LIMIT_INDEX[f"{side} target_ratio"]] - HELD_WIDTH
            at[name] = xp.where(idle, xp.inf, at[name])
        elif regime == TWO_STAGE:
            own = (low if side == "lowest" else high)[3] * sign
            alone = (tilt == 0) & ((own < at[name] - HELD_WIDTH) | (high[3] - low[3] <= HELD_WIDTH))
            # Along a held stage it is a bound on r.
            bound = limit[LIMIT_INDEX[f"{side} target_ratio"]] + sign * low[3]
            along = (tilt == 1) & (
                (at[name] >= bound - HELD_WIDTH) | (high[2] - low[2] <= HELD_WIDTH)
            )
            at[name] = xp.where(alone | along, xp.inf, at[name])
    if regime == TWO_STAGE:
        for name in ("lowest stage_fraction", "highest stage_fraction"):
            at[name] = xp.where(tilt == 1, xp.inf, at[name])
        at["lowest first_ratio"] = xp.where(
            high[2] - low[2] <= HELD_WIDTH, xp.inf, at["lowest first_ratio"]
        )
    if not serves:
        slower = at["gpu_hours"] < at["compute"]
        at["compute"], at["gpu_hours"] = (
            xp.where(slower, xp.inf, at["compute"]),
            xp.where(slower, at["gpu_hours"], xp.inf),
        )
    return xp.stack(list(at.values()))
