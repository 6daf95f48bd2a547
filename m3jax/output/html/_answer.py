"""The answer of a report in words: one recipe, how sure it is, and what holds it."""

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
    text = f"{_recipe_sentence(row)}{_certainty(row, recommendations)}{_next_best(row)}"
    text += f" It uses {100 * min(row['budget_used'], 1.0):.3g}% of the budget and is held by:"
    text += f" {'; '.join(row['held_by']) or 'no limit'}."
    if row["outside_runs"]:
        outside = "; ".join(outside_in_words(row))
        text += f" This leaves the ground the runs cover: {outside}."
    text += "".join(f" {sentence[:1].upper()}{sentence[1:]}." for sentence in row["warnings"])
    if len(records) > 1:
        text += f" The table has all {len(records)} combinations."
    return text


def _recipe_sentence(row: Record) -> str:
    share = f"{100 * row['target_ratio']:.3g}% of all tokens"
    if row["regime"] == REGIMES[2]:
        share += (
            f" in the target language, concentrated in the last {100 * row['stage_fraction']:.3g}%"
            f" of training ({100 * row['first_ratio']:.3g}% before, then"
            f" {100 * row['final_ratio']:.3g}%)"
        )
    else:
        share += " in the target language throughout"
    written = {
        name: formatting.write(name, row[name])
        for name in ("target_tokens", "compute", "n_params", "epochs", "total_tokens", "loss")
    }
    return (
        f"For {row['language']}, with {written['target_tokens']} unique target tokens and"
        f" {written['compute']} FLOP, the best recipe is {row['regime']}: a model of"
        f" {written['n_params']} parameters, {written['epochs']} epochs over"
        f" the target corpus, {share}, {written['total_tokens']} tokens in all."
        f" The predicted loss is {written['loss']} nats per token"
    )


def _certainty(row: Record, recommendations: Recommendations) -> str:
    if not recommendations.n_draws:
        return "; without bootstrap draws it is open how sure that is."
    loss, epochs = (
        formatting.write_interval(row[f"{name}_low"], row[f"{name}_high"], formatting.writer(name))
        for name in ("loss", "epochs")
    )
    best = formatting.share(row[f"share_{REGIME_WORDS[row['regime']].key}"])
    return (
        f" ({formatting.level(recommendations.level)} interval {loss}). The interval of the epochs"
        f" is {epochs}; {row['regime']} is best in {best} of {recommendations.n_draws} bootstrap"
        f" draws, and against the best recipe of each draw this one loses"
        f" {formatting.loss(row['regret'])} nats on average."
    )


def _next_best(row: Record) -> str:
    losing = [(gap, name) for name, gap in regime_gaps(row)]
    if not losing:
        return ""
    gap, name = min(losing)
    return f" The next best regime, {name}, would lose {formatting.loss(gap)} nats."
