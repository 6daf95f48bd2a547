"""The answer of a report in three short sentences; `web/src/sentences.ts` says the same."""

from __future__ import annotations

from ... import formatting
from ...optimization import Recommendations
from ...recipe import REGIMES
from ...variables import REGIME_WORDS
from ..tables import Record, outside_in_words, regime_gaps


def answer(recommendations: Recommendations) -> str:
    """The first language's best recipe for the largest budget, in words."""
    records = recommendations.records()
    feasible = [row for row in records if row["feasible"]]
    if not feasible:
        return "No recipe is allowed within the limits that were given."
    language = feasible[0]["language"]
    row = max((r for r in feasible if r["language"] == language), key=lambda r: r["compute"])
    return f"{_recipe(row)} {_expectation(row, recommendations)} {_standing(row)}"


def _recipe(row: Record) -> str:
    if row["target_ratio"] >= 1:
        mix = "and nothing else"
    elif row["regime"] == REGIMES[2]:
        mix = (
            f"{_part(row['target_ratio'])} of all tokens, {_part(row['first_ratio'])} at first and"
            f" {_part(row['final_ratio'])} in the last {_part(row['stage_fraction'])}"
        )
    else:
        mix = f"{_part(row['target_ratio'])} of all tokens throughout"
    size, tokens = (formatting.count(row[name]) for name in ("n_params", "total_tokens"))
    times = f"{row['epochs']:.3g} times" if row["epochs"] >= 1 else "in part"
    what = f"Train {size} parameters on {tokens} tokens for {row['language']}"
    return f"{what}: its text {times}, {mix}."


def _expectation(row: Record, recommendations: Recommendations) -> str:
    text = f"Expect a loss of {formatting.loss(row['loss'])} nats per token"
    if recommendations.n_draws:
        span = formatting.write_interval(row["loss_low"], row["loss_high"], formatting.loss)
        text += f" ({formatting.level(recommendations.level)} interval {span})"
    losing = [(gap, name) for name, gap in regime_gaps(row)]
    if losing:
        gap, name = min(losing)
        text += f"; {REGIME_WORDS[name].short} would lose {formatting.loss(gap)}"
    return f"{text}."


def _standing(row: Record) -> str:
    used, budget = formatting.share(min(row["budget_used"], 1.0)), formatting.flop(row["compute"])
    outside = "; ".join(outside_in_words(row))
    ground = f"lies beyond the runs: {outside}" if outside else "lies within what the runs cover"
    held = ", ".join(words.partition(" (")[0] for words in row["held_by"]) or "no limit"
    return f"It uses {used} of {budget} FLOP, is held by {held}, and {ground}."


def _part(share: float) -> str:
    return f"{100 * share:.3g}%"
