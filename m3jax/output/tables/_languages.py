"""Tables of answers for many languages: a split budget, and a model that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ... import formatting
from ...variables import REGIME_WORDS
from ._recipes import held_by_briefly, standing_in_words, written_share
from ._table import (
    Column,
    Record,
    Table,
    plain_column,
    regime_column,
    variable_column,
)

if TYPE_CHECKING:
    from ...optimization import BudgetSplit, SharedModel


def split_table(split: BudgetSplit) -> Table:
    """One row a language: its part of the budget, and its recipe."""
    return Table(
        title=f"{formatting.flop(split.compute.sum())} FLOP over {len(split.languages)} languages",
        columns=(
            plain_column("language", "language\n"),
            variable_column("compute", "compute\nFLOP"),
            Column("share", "share\n(weight)", _share_and_weight),
            plain_column("budget_used", "used\n", written_share),
            *_recipe_columns(),
            Column("held_by", "held by\n", held_by_briefly, left=True),
            regime_column(),
        ),
        rows=split.records(),
        notes=_notes(split.records()),
    )


def shared_table(shared: SharedModel) -> Table:
    """One row a language: what it is given of the model that all share."""
    regime = REGIME_WORDS[shared.regime].short
    return Table(
        title=f"One model for {len(shared.languages)} languages, {regime}",
        columns=(
            plain_column("language", "language\n"),
            plain_column("weight", "weight\n", formatting.share),
            *_recipe_columns()[1:],
            Column("held_by", "held by\n", held_by_briefly, left=True),
        ),
        rows=shared.records(),
        notes=_notes(shared.records()),
    )


def _notes(records: Sequence[Record]) -> tuple[str, ...]:
    told = [(row["language"], sentence) for row in records for sentence in standing_in_words(row)]
    return tuple(f"{language}: {sentence}" for language, sentence in told)


def _share_and_weight(row: Record) -> str:
    return f"{formatting.share(row['share'])}\n({formatting.share(row['weight'])})"


def _recipe_columns() -> tuple[Column, ...]:
    return (
        variable_column("n_params", "model\nparams"),
        variable_column("target_tokens", "corpus\ntokens"),
        variable_column("epochs", "epochs\n"),
        variable_column("target_ratio", "target\nratio"),
        Column("final_ratio", "final\nratio", _final_ratio),
        variable_column("loss", "loss\n"),
    )


def _final_ratio(row: Record) -> str:
    two_stage = row["final_ratio"] > row["target_ratio"]
    return formatting.ratio(row["final_ratio"]) if two_stage else "same"
