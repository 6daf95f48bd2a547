"""Recipes from the columns of a run table: what a row leaves out follows from what it says."""

from __future__ import annotations

import numpy as np

from .._errors import setting
from ..formatting import quantity
from ..recipe import RATIO_TOLERANCE, Recipe
from ._columns import Array, Columns

# Lengths that a row states twice may differ by rounding, not by more than this.
_AGREE = 0.01
# Measured FLOP count what 6·N·D leaves out (attention, embeddings, recomputation): all may differ
# by the first factor, a row from the others by the second. What differs by more is in another unit,
# or of another run.
_MEASURED, _FROM_OTHERS = 4.0, 2.0


def read_recipes(table: Columns) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of every row, (n,) leaves, and notes of what was assumed."""
    n_params = table.number("n_params")
    if n_params is None:
        raise table.missing("n_params")
    given = table.number("target_ratio")
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
    return Recipe(n_params, tokens, epochs, r, rf, r1), (*notes, *_assumed_ratios(given))


def _assumed_ratios(given: Array | None) -> list[str]:
    """That rows without a target ratio were read as target text alone."""
    if given is None:
        return ["no target_ratio column: taken as 1, nothing but target text"]
    blank = int(np.isnan(given).sum())
    return [f"target_ratio is blank in {quantity(blank, 'row')}: taken as 1"] if blank else []


def _lengths(
    table: Columns, n_params: Array, tokens: Array | None, epochs: Array | None, r: Array
) -> tuple[Array, Array, tuple[str, ...]]:
    """Target tokens and epochs, from what the table gives of D_T, k, D and C; and notes."""
    total, compute = table.number("total_tokens"), table.number("compute")
    by_compute = None if compute is None else compute / (6.0 * n_params)
    notes: tuple[str, ...] = ()
    if tokens is not None and epochs is not None:
        if total is not None:
            given = ["target_tokens", "epochs", "target_ratio", "total_tokens"]
            rule = "epochs * target_tokens = target_ratio * total_tokens"
            _check_agreement(table, epochs * tokens / (r * total), given, rule)
        if by_compute is not None:
            given = ["n_params", "target_tokens", "epochs", "target_ratio", "compute"]
            notes = _measured_compute(table, r * by_compute / (epochs * tokens), given)
        return tokens, epochs, notes
    totals = {"total_tokens": total} if total is not None else {}
    if by_compute is not None and not table.measured:
        totals["compute"] = by_compute
    if total is not None and by_compute is not None:
        given = ["n_params", "total_tokens", "compute"]
        notes = _measured_compute(table, by_compute / total, given)
    if not totals:
        name = "target_tokens" if tokens is None else "epochs"
        raise table.missing(name, " (or 'total_tokens' or 'compute' in its place)")
    first, *_, last = (*totals.values(), *totals.values())
    seen = r * np.where(np.isnan(first), last, first)
    table.require(~np.isnan(seen), totals, "a positive finite number, as nothing else gives D")
    if tokens is not None:
        return tokens, seen / tokens, notes
    if epochs is not None:
        return seen / epochs, epochs, notes
    note = (
        "neither target_tokens nor epochs given: each run read as one epoch over unique text "
        "(target_tokens = target_ratio * total_tokens, epochs = 1)"
    )
    return seen, np.ones_like(seen), (*notes, note)


def _measured_compute(table: Columns, quotient: Array, names: list[str]) -> tuple[str, ...]:
    """A note on how far the compute of the table is from 6·N·D; none where they agree.

    `quotient` is the one over the other, NaN where a cell is blank. Raises `M3Error` where they are
    too far apart for a measurement.
    """
    stated = quotient[~np.isnan(quotient)]
    if len(stated) and not table.measured:
        usual = float(np.clip(np.median(stated), 1 / _MEASURED, _MEASURED))
        low, high = usual / _FROM_OTHERS, usual * _FROM_OTHERS
        far = (quotient < low) | (quotient > high)  # a blank cell is neither
        factor = setting("units", {"compute": "FACTOR"})
        times = f"{quotient[far][0]:.2g}" if far.any() else ""
        table.require(
            ~far,
            names,
            f"compute in FLOP, {low:.3g} to {high:.3g} times 6 * n_params * total_tokens, not"
            f" {times} times (another unit? {factor})",
        )
    if not len(stated) or np.all(np.abs(stated - 1) <= _AGREE):
        return ()
    return (
        f"compute is {stated.min():.3g} to {stated.max():.3g} times 6 * n_params * total_tokens,"
        f" {np.median(stated):.3g} at the median: taken as measured; n_params and tokens count, and"
        " budgets of recipes are 6 * n_params * total_tokens",
    )


def _check_agreement(table: Columns, quotient: Array, names: list[str], rule: str) -> None:
    # Blank cells give NaN, and nothing to contradict.
    good = ~(np.abs(quotient - 1) > _AGREE)
    table.require(good, names, f"{rule} to within {_AGREE:.0%}")
