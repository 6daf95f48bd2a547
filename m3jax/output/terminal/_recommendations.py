"""Recipes, predictions, regime maps and answers for many languages on the terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import formatting
from ...optimization import best_sources
from ..tables import (
    crossings_table,
    predictions_table,
    recommendations_table,
    shared_table,
    split_table,
    standing_in_words,
    worth_table,
)
from ._console import (
    MOST_LANGUAGES,
    open_console,
    print_line,
    print_notes,
    print_rest,
    print_table,
)

if TYPE_CHECKING:
    from ...optimization import (
        BudgetSplit,
        Recommendations,
        RegimeMap,
        SharedModel,
        SourceChoice,
    )


def show_predictions(records: Sequence[Mapping[str, Any]]) -> None:
    """Predicted losses of given recipes."""
    print_table(open_console(), predictions_table(records), tight=True)


def show_recommendations(recommendations: Recommendations) -> None:
    """Best recipes, one table a language."""
    console = open_console()
    for language in recommendations.languages[:MOST_LANGUAGES]:
        print_table(console, recommendations_table(recommendations, language), tight=True)
    print_rest(console, recommendations.languages, "--recipes and --json; -l names some")
    for choice in best_sources(recommendations) if recommendations.n_draws else ():
        print_line(console, f"  {source_in_words(choice)}")


def source_in_words(choice: SourceChoice) -> str:
    """Which source helps a language most, in a sentence."""
    others = ", ".join(
        f"{name} {formatting.loss(loss)} ({formatting.share(choice.probability[name])})"
        for name, loss in sorted(choice.loss.items(), key=lambda item: item[1])
    )
    return (
        f"{choice.language}, {formatting.flop(choice.compute)} FLOP,"
        f" {formatting.count(choice.target_tokens)} tokens: {choice.source} helps most; loss with"
        f" each source, and how probably it is the best: {others}"
    )


def show_map(regime_map: RegimeMap) -> None:
    """Thresholds of one language's regime map, and the guidelines."""
    console, table = open_console(), crossings_table(regime_map)
    print_table(console, dataclasses.replace(table, notes=()))
    if not table.rows:
        console.print("  nowhere on the map")
    if regime_map.slope is not None:
        console.print(
            f"  monolingual is best above a corpus that grows as C^{regime_map.slope:.3f}"
        )
    for guideline in regime_map.guidelines:
        share = formatting.share(guideline.share)
        drawn = "" if guideline.share is None else f" (holds in {share} of the draws that can tell)"
        print_line(console, f"  {guideline.name}: {guideline.verdict}{drawn}: {guideline.evidence}")
    print_notes(console, table.notes)


def show_split(split: BudgetSplit) -> None:
    """One budget over several languages, a model each."""
    console = open_console()
    print_table(console, split_table(split), tight=True)
    equal = (
        formatting.loss(split.equal_loss)
        if np.isfinite(split.equal_loss)
        else "out of reach for one of them"
    )
    print_line(
        console,
        f"  Weighted mean loss: {formatting.loss(split.mean_loss)} nats/token;"
        f" with equal shares {equal}.",
    )
    print_line(console, f"  {split.price_in_words.capitalize()} nats/token.")


def show_shared_model(shared: SharedModel) -> None:
    """One model for several languages and a source."""
    console = open_console()
    print_table(console, shared_table(shared), tight=True)
    size, tokens = (
        formatting.write(name, getattr(shared, name)) for name in ("n_params", "total_tokens")
    )
    print_line(
        console,
        f"  {size} parameters, {tokens} tokens in all,"
        f" {formatting.share(shared.source_ratio)} of them source text."
        f" Weighted mean loss: {formatting.loss(shared.mean_loss)} nats/token.",
    )


def show_worth(records: Sequence[Mapping[str, Any]]) -> None:
    """What other regimes would lose and what each limit costs: `optimization.worth_records`."""
    console = open_console()
    print_table(console, worth_table(records), tight=True)
    for record in records:
        budget = formatting.write("compute", record["compute"])
        corpus = formatting.write("target_tokens", record["target_tokens"])
        place = f"{record['language']}, {budget} FLOP, {corpus} tokens"
        if record["infeasible"]:
            print_notes(console, [f"{place}: no recipe: {record['infeasible']}"])
        print_notes(console, [f"{place}: {sentence}" for sentence in standing_in_words(record)])
        for sentence in (*record["prices"], *record["kinks"]):
            print_line(console, f"  {place}: {sentence}")
        if record["sway"]:
            print_line(console, f"  {place}: {record['sway']}")
