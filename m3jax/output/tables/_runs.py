"""Tables of runs still to be trained: those that `next_runs` proposes and those of a pilot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ... import formatting
from ._recipes import final_stage
from ._table import (
    Column,
    Record,
    Table,
    plain_column,
    regime_column,
    variable_column,
)

if TYPE_CHECKING:
    from ...design import NextRuns, RunDesign


def next_runs_table(next_runs: NextRuns) -> Table:
    """One row a proposed run of one language."""
    return Table(
        title=f"Next runs for {next_runs.language}",
        columns=(
            plain_column("run_id", "run"),
            *_recipe_columns(),
            Column("predicted_loss", "predicted\nloss", _predicted),
            plain_column("worth", "worth\n", formatting.share),
            regime_column(),
        ),
        rows=next_runs.records(),
        notes=next_runs.notes,
    )


def design_table(design: RunDesign) -> Table:
    """One row a run of a sheet for a language without runs."""
    return Table(
        title=f"Small runs for {design.runs.language}",
        columns=(
            plain_column("run_id", "run"),
            plain_column("model", "layers\n× width"),
            *_recipe_columns(),
            plain_column("seed", "seed\n"),
            plain_column("predicted_loss", "predicted\nloss", lambda loss: f"{loss:.2f}"),
            plain_column("worth", "worth\n", formatting.share),
            regime_column(),
        ),
        rows=design.records(),
        notes=design.runs.notes,
    )


def _recipe_columns() -> tuple[Column, ...]:
    """What a run is."""
    return (
        variable_column("n_params", "model\nparams"),
        variable_column("target_tokens", "unique\ntokens"),
        variable_column("epochs", "epochs\n"),
        variable_column("target_ratio", "target\nratio"),
        Column("final_ratio", "final\n(stage)", lambda row: final_stage(row, " ")),
        variable_column("total_tokens", "total\ntokens"),
        variable_column("compute", "compute\nFLOP"),
    )


def _predicted(row: Record) -> str:
    loss, spread = row["predicted_loss"], row["predicted_spread"]
    return f"{loss:.3f} ± {loss * spread:.3f}"


def pilot_table(groups: Sequence[Record]) -> Table:
    """One row a model size and length of a pilot's runs; `groups` are `PilotPlan.groups()`."""
    runs, compute = (sum(group[key] for group in groups) for key in ("runs", "compute"))
    return Table(
        title=f"{runs} runs, {formatting.flop(compute)} FLOP",
        columns=(
            variable_column("n_params", "parameters"),
            variable_column("total_tokens", "tokens"),
            plain_column("steps"),
            plain_column("batch"),
            plain_column("runs"),
            plain_column("two_stage", "two-stage"),
            variable_column("compute", "FLOP"),
        ),
        rows=groups,
    )
