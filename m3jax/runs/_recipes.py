"""Recipes from the columns of a run table: what a row leaves out follows from what it says."""

from __future__ import annotations

import numpy as np

from ..recipe import RATIO_TOLERANCE, Recipe
from ._columns import Array, Columns

# Lengths that a row states twice may differ by rounding, not by more than this.
_AGREE = 0.01


def read_recipes(table: Columns) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of every row, (n,) leaves, and notes of what was assumed."""
    n_params = table.number("n_params")
    if n_params is None:
        raise table.missing("n_params")
    r = np.minimum(table.number_or("target_ratio", 1.0), 1.0)
    rf = np.minimum(table.number_or("final_ratio", r), 1.0)
    pair = ["final_ratio", "target_ratio"]
    table.require(
        rf >= r * (1 - RATIO_TOLERANCE), pair, "target_ratio (1 if not given) <= final_ratio <= 1"
    )
    rf = np.where(rf <= r * (1 + RATIO_TOLERANCE), r, rf)
    r1 = table.number_or("first_ratio", np.where(r < rf, 0.0, r))
    pair = ["first_ratio", "target_ratio"]
    table.require(
        r1 <= r * (1 + RATIO_TOLERANCE), pair, "0 <= first_ratio <= target_ratio (1 if not given)"
    )
    # With r_1 = r the final stage would have no tokens, and its ratio no meaning.
    table.require((rf <= r) | (r1 < r), pair, "first_ratio < target_ratio < final_ratio")
    r1 = np.minimum(r1, r)

    tokens, epochs = table.number("target_tokens"), table.number("epochs")
    tokens, epochs, notes = _lengths(table, n_params, tokens, epochs, r)
    return Recipe(n_params, tokens, epochs, r, rf, r1), notes


def _lengths(
    table: Columns, n_params: Array, tokens: Array | None, epochs: Array | None, r: Array
) -> tuple[Array, Array, tuple[str, ...]]:
    """Target tokens and epochs, from what the table gives of D_T, k, D and C; and notes."""
    total, compute = table.number("total_tokens"), table.number("compute")
    totals = {"total_tokens": total} if total is not None else {}
    if compute is not None:
        totals["compute"] = compute / (6.0 * n_params)
    if len(totals) == 2:
        _check_agreement(
            table,
            totals["compute"] / totals["total_tokens"],
            ["n_params", "total_tokens", "compute"],
            "compute = 6 * n_params * total_tokens",
        )
    if tokens is not None and epochs is not None:
        for name, value in totals.items():
            given = ["target_tokens", "epochs", "target_ratio", name]
            rule = "epochs * target_tokens = target_ratio * total_tokens"
            if name == "compute":
                given, rule = ["n_params", *given], rule.replace("total_tokens", "compute / 6N")
            _check_agreement(table, epochs * tokens / (r * value), given, rule)
        return tokens, epochs, ()
    if not totals:
        name = "target_tokens" if tokens is None else "epochs"
        raise table.missing(name, " (or 'total_tokens' or 'compute' in its place)")
    first, *_, last = (*totals.values(), *totals.values())
    seen = r * np.where(np.isnan(first), last, first)
    table.require(~np.isnan(seen), totals, "a positive finite number, as nothing else gives D")
    if tokens is not None:
        return tokens, seen / tokens, ()
    if epochs is not None:
        return seen / epochs, epochs, ()
    note = (
        "neither target_tokens nor epochs given: each run read as one epoch over unique text "
        "(target_tokens = target_ratio * total_tokens, epochs = 1)"
    )
    return seen, np.ones_like(seen), (note,)


def _check_agreement(table: Columns, quotient: Array, names: list[str], rule: str) -> None:
    # Blank cells give NaN, and nothing to contradict.
    good = ~(np.abs(quotient - 1) > _AGREE)
    table.require(good, names, f"{rule} to within {_AGREE:.0%}")
