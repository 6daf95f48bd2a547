"""The table of a regime map: where the best regime changes."""

from __future__ import annotations

from ... import formatting
from ...optimization import Crossing, RegimeMap
from ...variables import REGIME_WORDS
from ._table import Column, Table, value, variable


def crossings_table(regime_map: RegimeMap) -> Table:
    """One row a corpus size at which the best regime of one language changes."""
    share = ", with intervals over draws" if regime_map.n_draws else ""
    return Table(
        title=f"Where the best regime of {regime_map.language} changes{share}",
        columns=(
            variable("compute", "compute\nFLOP"),
            Column("target_tokens", "corpus\ntokens", _corpus),
            Column("below", "with less", lambda c: REGIME_WORDS[c.below].short),
            Column("above", "with more", lambda c: REGIME_WORDS[c.above].short),
            value("margin", "third regime\nloses", formatting.loss),
        ),
        rows=regime_map.crossings,
        notes=regime_map.notes,
    )


def _corpus(crossing: Crossing) -> str:
    text = formatting.count(crossing.target_tokens)
    if crossing.low is None:
        return text
    return f"{text}\n{formatting.interval(crossing.low, crossing.high, formatting.count)}"
