"""Which rows of a table are read: what its options leave out, and notes of how many and which."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from .._errors import M3Error
from ..formatting import quantity, quoted
from ..options import TableOptions
from ._columns import Array, Columns
from ._conditions import Condition
from ._recipes import read_recipes

# Why rows go -> which, (n,) bool. The reason "" is the step's own name.
Reasons = dict[str, Array]
Step = Callable[[Columns], Reasons]

_LENGTHS = ("target_tokens", "epochs")  # given both, they need no total
_TOTALS = ("total_tokens", "compute")
_SPANS = 5  # of row numbers, before "and 12 more"


def chosen_rows(table: Columns, options: TableOptions) -> tuple[Columns, tuple[str, ...]]:
    """The rows that the options leave, and a note of each step.

    Raises `M3Error` where none is left, or on a cell that a step must read and cannot.
    """
    notes: list[str] = []
    whole = table
    for name, step in _steps(table, options):
        reasons = step(table)
        out = np.any(list(reasons.values()), axis=0)
        if out.any() or name != _WEIGHTLESS:
            notes.append(left_out(name, table.frame.index.to_numpy(), reasons))
        if out.all():
            raise M3Error(f"{table.source}: {notes[-1]}; expected at least one row to be left")
        table = table.rows(~out)
    if len(table) < len(whole):
        left = set(_languages(table))
        gone = [name for name in _languages(whole) if name not in left]
        noun = "languages" if gone[1:] else "language"
        notes += [f"no row is left of {noun} {quoted(gone)}"] * bool(gone)
    return table, tuple(notes)


_WEIGHTLESS = "neither weight nor loss"


def _steps(table: Columns, options: TableOptions) -> Iterator[tuple[str, Step]]:
    for text in options.where:
        yield f"where {text}", partial(_where, Condition.parse(text, table))
    yield _WEIGHTLESS, _weightless
    if options.skip_incomplete:
        yield "skip_incomplete", _incomplete
    if options.last_checkpoint:
        yield "last_checkpoint", _earlier_checkpoints
    if options.keep_best:
        yield "keep_best", _bettered
    if options.drop_highest:
        yield "drop_highest", partial(_highest_losses, options.drop_highest)


def left_out(name: str, row: Array, reasons: Reasons) -> str:
    """The note of a step: how many of the rows (n,) it left out, which, and why."""
    rest, parts = np.ones(len(row), dtype=bool), []
    for why, mask in reasons.items():
        first = mask & rest  # of several reasons a row has the first
        rest &= ~mask
        if first.any():
            noun = "row" if first.sum() == 1 else "rows"
            parts.append(f"{noun} {_spans(row[first])}{': ' * bool(why)}{why}")
    which = f" ({'; '.join(parts)})" if parts else ""
    return f"{name}: {len(row) - rest.sum()} of {quantity(len(row), 'row')} left out{which}"


def _spans(rows: Array) -> str:
    """Row numbers in order, "1-3, 7, 9-12 and 30 more"."""
    rows = np.sort(rows)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    shown = [f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs[:_SPANS]]
    more = sum(map(len, runs[_SPANS:]))
    return ", ".join(shown) + (f" and {more} more" if more else "")


def highest(loss: Array, count: int, source: str) -> Array:
    """Where the `count` highest losses are, (n,) bool; those that are no number come first.

    Raises `M3Error` if `count` is negative or leaves nothing.
    """
    if not 0 <= count < len(loss):
        raise M3Error(
            f"{source}: drop_highest: expected 0 to {len(loss) - 1} runs to drop "
            f"out of {len(loss)}, got {count}"
        )
    out = np.zeros(len(loss), dtype=bool)
    out[np.argsort(-np.where(np.isnan(loss), np.inf, loss), kind="stable")[:count]] = True
    return out


def _languages(table: Columns) -> tuple[str, ...]:
    if "language" not in table:
        return ()
    texts, blank = table.texts(table.column["language"])
    return tuple(dict.fromkeys(texts[~blank].tolist()))


def _values(table: Columns, name: str) -> Array:
    """Column `name` as it is in the file (n,), NaN where blank. Raises on what is no number."""
    values, blank, is_number = table.values(table.column[name])
    table.require(is_number | blank, [name], "a number")
    return values


def _groups(columns: dict[str, Array]) -> Array:
    """Numbers of the groups of rows (n,) that are alike in all columns."""
    import pandas as pd

    return (
        pd.DataFrame(columns).groupby(list(columns), dropna=False, sort=False).ngroup().to_numpy()
    )


def _where(condition: Condition, table: Columns) -> Reasons:
    holds = condition.holds(table)
    # Where nothing meets the condition, what there is instead tells why.
    return {"" if holds.any() else condition.found(table): ~holds}


def _weightless(table: Columns) -> Reasons:
    """Rows that take no part in a fit may lack a loss; not all of a language may."""
    if "weight" not in table:
        return {"": np.zeros(len(table), dtype=bool)}
    zero = _values(table, "weight") == 0
    out = zero & ~np.isfinite(_values(table, "loss"))
    if "language" in table and out.any():
        language, _ = table.texts(table.column["language"])
        weighed = set(language[~zero].tolist())
        out &= [name in weighed for name in language.tolist()]
    return {"": out & ~zero.all()}


def _incomplete(table: Columns) -> Reasons:
    reasons: Reasons = {}
    for name in ("language", "run_id"):
        if name in table:
            own = table.column[name]
            reasons[f"{own!r} is blank"] = table.texts(own)[1]
    for name in ("loss", "n_params", *_LENGTHS):
        if name in table:
            own = table.column[name]
            reasons[f"{own!r} is not a finite number"] = ~np.isfinite(_values(table, name))
    totals = [name for name in _TOTALS if name in table]
    if totals and not all(name in table for name in _LENGTHS):
        owns = " and ".join(repr(table.column[name]) for name in totals)
        values = [_values(table, name) for name in totals]
        reasons[f"{owns} not a finite number"] = ~np.any(np.isfinite(values), axis=0)
    for name in ("target_ratio", *_LENGTHS, *_TOTALS):
        if name in table:
            reasons[f"{table.column[name]!r} is 0"] = _values(table, name) == 0
    return reasons


def _earlier_checkpoints(table: Columns) -> Reasons:
    run_id, language = table.text("run_id"), table.text("language")
    if run_id is None:
        raise table.missing("run_id")
    recipe, _ = read_recipes(table)
    total = np.asarray(recipe.total_tokens)
    run = _groups({"run_id": run_id} | ({} if language is None else {"language": language}))
    most = np.zeros(run.max() + 1)
    np.maximum.at(most, run, total)
    return {"": total < most[run]}


def _bettered(table: Columns) -> Reasons:
    """Rows that are not the lowest loss of their recipe; of equals, the first is.

    Runs without weight are no better than any that has one.
    """
    language, loss = table.text("language"), _values(table, "loss")
    loss = np.where(np.isnan(loss) | (table.number_or("weight", 1.0) == 0), np.inf, loss)
    recipe, _ = read_recipes(table)
    group = _groups(vars(recipe) | ({} if language is None else {"language": language}))
    order = np.lexsort((loss, group))
    best = order[np.flatnonzero(np.diff(group[order], prepend=-1))]
    out = np.ones(len(loss), dtype=bool)
    out[best] = False
    return {"": out}


def _highest_losses(count: int, table: Columns) -> Reasons:
    loss = _values(table, "loss")
    out = highest(loss, count, table.source)
    low = np.min(loss[out], initial=np.inf, where=np.isfinite(loss[out]))
    words = f"of {low:.6g} and above" if np.isfinite(low) else "is not a finite number"
    return {f"{table.column['loss']!r} {words}": out}
