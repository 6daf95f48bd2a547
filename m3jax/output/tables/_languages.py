"""Tables of answers for many languages: a split budget, and a model that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ... import formatting
from ...optimization import BudgetSplit, SharedModel
from ...variables import REGIME_WORDS
from ._table import Column, Table, value, variable


def split_table(split: BudgetSplit) -> Table:
    """One row a language: its part of the budget, and its recipe."""
    return Table(
        title=f"{formatting.flop(split.compute.sum())} FLOP over {len(split.languages)} languages",
        columns=(
            value("language"),
            value("weight", "weight", formatting.share),
            variable("compute", "compute\nFLOP"),
            value("share", "share\n", formatting.share),
            *_recipe_columns(),
            Column("regime", "regime\n", lambda row: REGIME_WORDS[row["regime"]].short, left=True),
        ),
        rows=split.records(),
    )


def shared_table(shared: SharedModel) -> Table:
    """One row a language: what it is given of the model that all share."""
    size, tokens = (
        formatting.write(name, getattr(shared, name)) for name in ("n_params", "total_tokens")
    )
    words = REGIME_WORDS[shared.regime].short
    return Table(
        title=f"One model of {size} parameters, {tokens} tokens in all, {words}",
        columns=(
            value("language"),
            value("weight", "weight", formatting.share),
            *_recipe_columns()[1:],
        ),
        rows=shared.records(),
    )


def _recipe_columns() -> tuple[Column, ...]:
    return (
        variable("n_params", "model\nparams"),
        variable("target_tokens", "corpus\ntokens"),
        variable("epochs", "epochs\n"),
        variable("target_ratio", "target\nratio"),
        Column("final_ratio", "final\nratio", _final_ratio),
        variable("loss", "loss\nnats/token"),
    )


def _final_ratio(row: Mapping[str, Any]) -> str:
    two_stage = row["final_ratio"] > row["target_ratio"]
    return formatting.ratio(row["final_ratio"]) if two_stage else "same"
