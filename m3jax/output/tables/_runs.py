"""Tables of runs still to be trained: those that `next_runs` proposes and those of a pilot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ... import formatting
from ...design import NextRuns
from ...variables import REGIME_WORDS
from ._table import Column, Table, value, variable

Record = Mapping[str, Any]


def next_runs_table(next_runs: NextRuns) -> Table:
    """One row a proposed run of one language."""
    return Table(
        title=f"Next runs for {next_runs.language}",
        columns=(
            value("run_id", "run"),
            variable("n_params", "model\nparams"),
            variable("target_tokens", "unique\ntokens"),
            variable("epochs", "epochs\n"),
            variable("target_ratio", "target\nratio"),
            Column("final_ratio", "final\n(stage)", _final_stage),
            variable("total_tokens", "total\ntokens"),
            variable("compute", "compute\nFLOP"),
            Column("predicted_loss", "predicted\nloss", _predicted),
            value("worth", "worth\n", formatting.share),
            Column("regime", "regime\n", lambda row: REGIME_WORDS[row["regime"]].short, left=True),
        ),
        rows=next_runs.records(),
        notes=next_runs.notes,
    )


def _final_stage(row: Record) -> str:
    if row["stage_fraction"] >= 1:
        return "same"
    return f"{row['final_ratio']:.2f} ({formatting.share(row['stage_fraction'])})"


def _predicted(row: Record) -> str:
    loss, spread = row["predicted_loss"], row["predicted_spread"]
    return f"{loss:.3f} ± {loss * spread:.3f}"


def pilot_table(groups: Sequence[Record]) -> Table:
    """One row a model size and length of a pilot's runs; `groups` are `PilotPlan.groups()`."""
    runs, compute = (sum(group[key] for group in groups) for key in ("runs", "compute"))
    return Table(
        title=f"{runs} runs, {formatting.flop(compute)} FLOP",
        columns=(
            variable("n_params", "parameters"),
            variable("total_tokens", "tokens"),
            value("steps"),
            value("batch"),
            value("runs"),
            value("two_stage", "two-stage"),
            variable("compute", "FLOP"),
        ),
        rows=groups,
    )
