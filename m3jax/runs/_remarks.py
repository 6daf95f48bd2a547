"""What is odd about a run table that breaks none of its rules, in sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from .._errors import setting
from ..formatting import quantity
from ..recipe import Recipe
from ._columns import Array
from ._language_codes import NAME_OF_CODE

_UNTRAINED = 10.0  # nats, what guessing among 22,000 tokens costs
_DIVERGED = 0.05  # share of the runs that may have lost their way and still are losses
_PERPLEXITY = re.compile(r"ppl|perplex", re.IGNORECASE)
# Words of a column's name: "eval/bits_per_byte", not "orbits".
_BITS = re.compile(r"(?:^|[\W_])(?P<unit>bpb|bpc|bits?)(?:$|[\W_])", re.IGNORECASE)
_SHOWN = 5  # of what is alike, before "and 3 more"
_SCRIPT = re.compile(r"(?<=[^\W_])[ _-]([A-Z][a-z]{3})$")  # of ind_Latn, by ISO 15924


def perplexities(loss: Array, row: Array, column: str) -> list[str]:
    """Losses (n,), given as nats, that their size or the name of their column gives away."""
    high = np.flatnonzero(loss > _UNTRAINED)
    if _PERPLEXITY.search(column):
        why = f"column {column!r} was read as nats"
    elif len(high) > max(1, _DIVERGED * len(loss)):
        why = (
            f"{len(high)} of {len(loss)} are above {_UNTRAINED:g} nats (row {row[high[0]]}:"
            f" {loss[high[0]]:.4g}), which is no better than guessing"
            " among 22,000 tokens"
        )
    else:
        return []
    return [
        f"losses look like perplexities: {why}; the loss is the logarithm of the perplexity"
        f" ({setting('units', {'loss': 'perplexity'})} takes it)"
    ]


def bits(column: str) -> list[str]:
    """Losses, given as nats, that the name of their column says are bits."""
    found = _BITS.search(column)
    if found is None:
        return []
    return [
        f"losses look like bits: column {column!r} was read as nats;"
        f" {setting('units', {'loss': 'bits'})} or bpb"
    ]


def alike_names(names: Sequence[str]) -> list[str]:
    """Languages, each fitted by itself, whose names differ in how they are written or coded."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_plain(name), []).append(name)
    alike = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    if not alike:
        return []
    return [
        f"languages that may be one: {_some(alike)}; their names differ in case, spaces, script or"
        " code alone, and each is fitted by itself"
    ]


def _plain(name: str) -> str:
    """A language's name, or that of its code, without case, separators and script."""
    name = _SCRIPT.sub("", unicodedata.normalize("NFKC", name).strip())
    name = NAME_OF_CODE.get(name.casefold(), name)
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def copies(language: Array, recipe: Recipe, loss: Array, row: Array) -> list[str]:
    """Rows (n,) that say what an earlier row says, whatever their run_id and seed."""
    import pandas as pd

    keys = pd.DataFrame({"language": pd.factorize(language)[0], **vars(recipe), "loss": loss})
    copy = np.flatnonzero(keys.duplicated())
    if not len(copy):
        return []
    group = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    _, first = np.unique(group, return_index=True)  # groups are numbered as they appear
    pairs = [f"row {row[i]} repeats row {row[first[group[i]]]}" for i in copy]
    return [
        f"{quantity(len(copy), 'exact duplicate row')} kept (same recipe and loss): {_some(pairs)}"
    ]


def _some(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
