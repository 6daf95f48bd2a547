"""The table of a regime map: where the best regime changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import formatting
from ._table import (
    Column,
    Table,
    plain_column,
    regime_column,
    variable_column,
)

if TYPE_CHECKING:
    from ...optimization import Crossing, RegimeMap


def crossings_table(regime_map: RegimeMap) -> Table:
    """One row a corpus size at which the best regime of one language changes."""
    share = ", with intervals over draws" if regime_map.n_draws else ""
    return Table(
        title=f"Where the best regime of {regime_map.language} changes{share}",
        columns=(
            variable_column("compute", "compute\nFLOP"),
            Column("target_tokens", "corpus\ntokens", _corpus),
            regime_column("below", "with less", left=False),
            regime_column("above", "with more", left=False),
            plain_column("margin", "third regime\nloses", _margin),
        ),
        rows=regime_map.crossings,
        notes=regime_map.notes,
    )


def _margin(margin: float) -> str:
    """What the third regime loses; nothing where it has one of the two recipes as its limit."""
    return formatting.loss(margin if margin >= formatting.LEAST_LOSS else None)


def _corpus(crossing: Crossing) -> str:
    text = formatting.count(crossing.target_tokens)
    if crossing.low is None:
        return text
    return f"{text}\n{formatting.write_interval(crossing.low, crossing.high, formatting.count)}"
