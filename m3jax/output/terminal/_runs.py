"""Proposed runs and pilots on the terminal."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ... import formatting
from ..tables import next_runs_table, pilot_table
from ._console import open_console, print_line, print_notes, print_table

if TYPE_CHECKING:
    from ...design import NextRuns
    from ...pilot import PilotPlan, PilotResult


def show_next_runs(proposals: Sequence[NextRuns]) -> None:
    """Runs worth adding, one table a language, and what they are expected to bring."""
    console = open_console()
    for runs in proposals:
        table = next_runs_table(runs)
        print_table(console, dataclasses.replace(table, notes=()), tight=True)
        spent = sum(row["compute"] for row in table.rows)
        print_line(
            console,
            f"  {spent:.3g} of {runs.budget:.3g} FLOP. Expected regret of the recipe, nats/token:"
            f" {runs.regret_now:.2g} now, {runs.regret_after:.2g} after these runs,"
            f" {runs.regret_random:.2g} after as dear random ones.",
        )
        print_line(
            console,
            f"  Information on the coefficients (log det): +{runs.information:.1f}, random runs"
            f" +{runs.information_random:.1f}. Noise reckoned with:"
            f" {formatting.percent(runs.noise)}.",
        )
        print_notes(console, table.notes)


def show_pilot_plan(groups: Sequence[Mapping[str, Any]]) -> None:
    """A pilot's runs by model size and length."""
    print_table(open_console(), pilot_table(groups))


def announce_pilot(plan: PilotPlan) -> None:
    """Before hours of work, what it will be; on standard error."""
    console = _error_console()
    for language, card in plan.cards.items():
        print_line(
            console,
            f"{language}: {card['target']['training_tokens']} target and"
            f" {card['source']['training_tokens']} source tokens to train on,"
            f" {card['overlap']:.1%} of the target text is in the source too",
        )
    asked = sum(card.get("plan", {}).get("runs", 0) for card in plan.cards.values())
    few = 2 * len(plan.trials) < asked
    why = f" ({asked} asked for: the budget has room for no more)" if few else ""
    print_line(console, f"{len(plan.trials)} runs, {plan.compute:.3g} FLOP{why}")


def show_pilot_result(result: PilotResult) -> None:
    """What a pilot did; on standard error, what is missing from its table."""
    console = open_console()
    print_line(
        console,
        f"{result.output}: {result.planned - len(result.diverged)} of {result.planned} runs"
        f" ({result.trained} trained now in {result.seconds:.0f} s, {result.kept} before)",
    )
    for language, noise in result.noise.items():
        if noise is not None:
            print_line(
                console,
                f"{language}: seeds differ by {formatting.percent(noise)} (sd of the loss,"
                f" {result.repeats[language]} degrees of freedom)",
            )
    if result.diverged:
        print_line(
            _error_console(),
            f"without a finite loss, not in the table: {', '.join(result.diverged)}",
        )


def _error_console() -> Console:
    return Console(file=sys.stderr, highlight=False)
