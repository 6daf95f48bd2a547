"""Sentences to act on, how much each matters, and the grade they come to."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from ._diagnosis import Diagnosis

# Verdicts up to these ranks make a table no better than that.
_WEAK_RANK, _USABLE_RANK = 15, 35


class Verdict(NamedTuple):
    """A sentence to act on; the smaller its rank, the more it matters."""

    rank: int
    text: str


def grade(diagnosis: Diagnosis, verdicts: Collection[Verdict]) -> str:
    """The grade, "good", "usable", "weak" or "unusable", of a fitted language and its verdicts."""
    free = [c for c in diagnosis.coefficients if c.standard_error is not None]
    well = sum(c.determined == "well" for c in free)
    undecided = sum(c.determined in ("not", "prior only") for c in free)
    r2, noise = diagnosis.r2 or 0.0, diagnosis.noise or 0.0
    worst = min((verdict.rank for verdict in verdicts), default=_USABLE_RANK + 1)
    if not well or r2 < 0.3 or noise > 0.2:
        return "unusable"
    if worst <= _WEAK_RANK or noise > 0.05 or undecided > len(free) / 4:
        return "weak"
    return "usable" if worst <= _USABLE_RANK or well < len(free) else "good"
