"""The table of what a recommendation is worth: against other regimes, in loss and in compute."""

from __future__ import annotations

from collections.abc import Sequence

from ... import formatting
from ...variables import REGIME_WORDS, RegimeWords
from ._table import (
    Column,
    Record,
    Table,
    plain_column,
    variable_column,
)


def worth_table(records: Sequence[Record]) -> Table:
    """One row a position; `records` are those of `optimization.worth_records`."""
    return Table(
        title="Nats per token that other regimes would lose, below it the compute to be as good",
        columns=(
            plain_column("language", "language\n"),
            variable_column("compute", "compute\nFLOP"),
            variable_column("target_tokens", "corpus\ntokens"),
            variable_column("loss", "loss\n"),
            Column("regime", "best regime\n", _best_regime, left=True),
            *(_against(words) for words in REGIME_WORDS.values()),
        ),
        rows=records,
    )


def _best_regime(row: Record) -> str:
    return "none allowed" if row["regime"] is None else REGIME_WORDS[row["regime"]].short


def _against(words: RegimeWords) -> Column:
    """What the best recipe of a regime would lose and how many times the compute it would need."""

    def write(row: Record) -> str:
        if row["regime"] == words.name:
            return "best"
        lost, gain = row[f"lost_{words.key}"], row[f"compute_gain_{words.key}"]
        if lost is None:
            return formatting.MISSING
        if lost < formatting.LEAST_LOSS:
            return "no worse"
        text = f"+{formatting.loss(lost)}"
        return text if gain is None else f"{text}\n×{formatting.ratio(gain)}"

    return Column(words.key, f"{words.short}\n", write)
