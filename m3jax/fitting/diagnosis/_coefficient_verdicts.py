"""What the runs say too little about, coefficient by coefficient."""

from __future__ import annotations

from collections.abc import Sequence

from ...formatting import enumeration
from ...laws import Law
from ...variables import RUN_VARIABLES, VARIABLES
from ..problem import Scope
from ._coefficients import INDISTINCT, why_held
from ._diagnosis import CoefficientDiagnosis
from ._verdict import Verdict

_NAMED_VARIABLES = 3  # of more none is worth naming


def coefficient_verdicts(
    law: Law, scope: Scope, coefficients: Sequence[CoefficientDiagnosis]
) -> list[Verdict]:
    """Coefficients that are not determined well, held, confounded, or at a bound."""
    free = [c for c in coefficients if c.standard_error is not None]
    verdicts = _undecided(law, free)
    held = [c for c in coefficients if c.standard_error is None and c.determined == "not"]
    indistinct = [c.name for c in held if why_held(law, c.name, scope) == INDISTINCT]
    if indistinct:
        why = INDISTINCT if len(indistinct) == 1 else INDISTINCT.replace(" it ", " them ")
        text = f"{enumeration(indistinct)} held: {why}; add runs that differ more"
        verdicts.append(Verdict(18, text))
    for names, correlation in _confounded_groups(free):
        text = (
            f"{enumeration(names)} cannot be told apart by these runs (correlation"
            f" {correlation:.2f}): trust what they say together, not each alone"
        )
        verdicts.append(Verdict(19, text))
    meaning = {c.name: c.meaning for c in law.coefficients}
    for c in free:
        if c.bound:
            words = f" ({meaning[c.name]})" if meaning[c.name] else ""
            verdicts.append(Verdict(28, f"{c.name}{words} {c.bound}"))
    return verdicts


def _undecided(law: Law, free: Sequence[CoefficientDiagnosis]) -> list[Verdict]:
    """Coefficients that the runs decide only in part, and what runs to add."""
    needs = {c.name: c.needs for c in law.coefficients}
    verdicts = []
    for label, rank, words in (
        ("not", 16, "the runs do not decide"),
        ("prior only", 17, "the prior and not the runs decides"),
        ("weakly", 40, "the runs decide only roughly"),
    ):
        names = [c.name for c in free if c.determined == label]
        if not names:
            continue
        needed = [v for v in RUN_VARIABLES if any(v in needs[name] for name in names)]
        if not needed:
            action = "add larger and longer runs"
        elif len(needed) > _NAMED_VARIABLES:
            action = "add runs, further apart in every way"
        else:
            action = f"add runs at other {enumeration([VARIABLES[v].plural for v in needed])}"
        verdicts.append(Verdict(rank, f"{words} {enumeration(names)}: {action}"))
    return verdicts


def _confounded_groups(free: Sequence[CoefficientDiagnosis]) -> list[tuple[list[str], float]]:
    """Groups of coefficients that go together, not all of them well determined, and how closely."""
    groups: list[tuple[set[str], float]] = []
    for c in free:
        group, closest = {c.name}, 0.0
        for name, correlation in c.confounded_with:
            group.add(name)
            closest = max(closest, correlation, key=abs)
        for other, correlation in [g for g in groups if g[0] & group]:
            groups.remove((other, correlation))
            group |= other
            closest = max(closest, correlation, key=abs)
        groups.append((group, closest))
    loose = {c.name for c in free if c.determined != "well"}
    order = [c.name for c in free]
    return [(sorted(g, key=order.index), r) for g, r in groups if len(g) > 1 and g & loose]
