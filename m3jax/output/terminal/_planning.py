"""Plans and run sheets of languages without runs, on the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ... import formatting
from ...planning import ONE_STAGE
from ..tables import (
    design_table,
    evidence_table,
    prospects_table,
    recommendations_table,
    rules_table,
)
from ._console import open_console, print_line, print_table

if TYPE_CHECKING:
    from ...design import RunDesign
    from ...planning import Plan


_LEAST = 5e-4  # share of the loss that is worth a figure


def show_plan(plan: Plan) -> None:
    """The recipe, rules of thumb beside it, what it rests on and what runs would be worth."""
    console, answer = open_console(), plan.recommendations
    for words in in_sentences(plan):
        print_line(console, words)
    console.print()
    print_table(console, recommendations_table(answer, answer.languages[0]), tight=True)
    console.print()
    print_table(console, rules_table(plan), tight=True)
    console.print()
    print_table(console, prospects_table(plan.prospects, plan.options.compute), tight=True)
    print_line(console, f"  the sheet of runs: {plan.design_command()}")
    console.print()
    print_table(console, evidence_table(plan.evidence.tables), tight=True)
    for ground in plan.grounds:
        print_line(console, f"  {ground}")
    print_line(
        console,
        "  Losses are those of a typical tokeniser. Which recipe is better carries over; what a"
        " loss amounts to hardly does.",
    )


def in_sentences(plan: Plan) -> list[str]:
    """What to train, in a few short sentences."""
    recipe = plan.recipe
    size = formatting.count(recipe.n_params)
    total = formatting.count(float(recipe.total_tokens))
    epochs = formatting.write_brief("epochs", recipe.epochs)
    parts = [f"Train {size} parameters on {total} tokens for {plan.language}."]
    read = f"Read its text {epochs} times"
    if recipe.target_ratio > 1 - 1e-6:
        parts.append(f"{read}, and nothing else.")
    else:
        ratio = formatting.share(recipe.target_ratio)
        words = f"{read}, {ratio} of all tokens"
        if recipe.final_ratio > recipe.target_ratio * 1.001:
            first, last, stage = (
                formatting.share(x)
                for x in (recipe.first_ratio, recipe.final_ratio, float(recipe.stage_fraction))
            )
            words += f": {first} at first, {last} in the last {stage}"
        parts.append(words + ".")
    for rule in plan.rules:
        if rule.name == ONE_STAGE and rule.more is not None:
            lost = math.expm1(rule.more)
            seen = formatting.count(plan.two_stage_params)
            cost = f"{lost:.1%} of the loss" if lost > _LEAST else "nothing"
            parts.append(
                f"Of the final stage only models of up to {seen} parameters tell; without it expect"
                f" to lose {cost}."
            )
    now, after = plan.prospects[0].regret_now, plan.prospects[1]
    parts.append(
        f"No run of its own stands behind this: expect to lose {now:.2f} nats/token to what would"
        f" be best, and {after.regret_after:.2f} after {after.runs} small runs of"
        f" {formatting.flop(after.budget)} FLOP."
    )
    return parts


def show_design(design: RunDesign) -> None:
    """The sheet, and what it is expected to bring."""
    console, table = open_console(), design_table(design)
    print_table(console, table, tight=True)
    spent, runs = sum(row["compute"] for row in table.rows), design.runs
    print_line(
        console,
        f"  {spent:.3g} of {runs.budget:.3g} FLOP. Expected regret of the recipe for"
        f" {formatting.flop(design.compute)} FLOP, nats/token: {runs.regret_now:.2g} now,"
        f" {runs.regret_after:.2g} after these runs, {runs.regret_random:.2g} after as dear random"
        " ones.",
    )
