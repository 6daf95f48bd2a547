"""Two guidelines of arXiv:2410.12325, tested on a user's own fit: direct switch and collapse of k.

Each test sees the fit and its bootstrap draws as members; member 0 is the fit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...recipe import MONOLINGUAL, REGIMES, SINGLE_STAGE, TWO_STAGE
from ._crossings import Crossings

ALIKE = np.log(1.2)  # curves that scatter by less than 20% in epochs are one


@dataclasses.dataclass(frozen=True)
class Guideline:
    """Whether a guideline holds for a fit.

    Attributes:
        name: what it says.
        holds: None where the fit cannot tell.
        evidence: in a sentence.
        share: of the bootstrap draws that can tell, those in which it holds; None without any.
    """

    name: str
    holds: bool | None
    evidence: str
    share: float | None

    @property
    def verdict(self) -> str:
        """ "holds", "does not hold" or "cannot be judged"."""
        return {True: "holds", False: "does not hold", None: "cannot be judged"}[self.holds]


SWITCH = "less target text: straight from monolingual to two stages"
COLLAPSE = "best epochs: one curve in D_T / D*(C)"


def _share_that_holds(verdicts: Sequence[bool | None]) -> float | None:
    """Of the verdicts that are not None, the share of those that are true."""
    judged = [verdict for verdict in verdicts if verdict is not None]
    return float(np.mean(judged)) if judged else None


def direct_switch(
    changes: Crossings, members: int, compute: np.ndarray, offered: Sequence[int], closest: float
) -> Guideline:
    """Guideline 1, from all crossings; rows are members × budgets.

    `closest` is the least that single-stage recipes of both languages lose where two stages are
    best, in nats.
    """
    missing = [REGIMES[k] for k in range(len(REGIMES)) if k not in offered]
    if missing:
        why = f"the runs, or the limits, leave no {' and no '.join(missing)}"
        return Guideline(SWITCH, None, why, None)
    count = len(compute)
    # Of each member, the changes (above, below) that it has at any budget.
    kinds: list[set[tuple[int, int]]] = [set() for _ in range(members)]
    for row, below, above in zip(changes.row, changes.below, changes.above, strict=True):
        kinds[row // count].add((int(above), int(below)))
    direct = {(MONOLINGUAL, TWO_STAGE)}
    verdicts = [None if not kind else kind == direct for kind in kinds]
    share = _share_that_holds(verdicts[1:])
    if verdicts[0] is None:
        return Guideline(SWITCH, None, "one regime is best all over the map", share)
    of_fit = changes.row < count
    budgets = {
        (above, below): np.unique(
            changes.row[of_fit & (changes.above == above) & (changes.below == below)]
        )
        for above, below in sorted(kinds[0])
    }
    if verdicts[0]:
        return Guideline(
            SWITCH,
            True,
            f"a direct switch at {len(budgets[MONOLINGUAL, TWO_STAGE])} of {count} budgets; where"
            f" two stages are best, one stage of both languages loses at least {closest:.2g} nats",
            share,
        )
    steps = "; ".join(
        f"from {REGIMES[above]} to {REGIMES[below]} at {len(rows)} of {count} budgets"
        for (above, below), rows in budgets.items()
    )
    band = ""
    if any(SINGLE_STAGE in kind for kind in kinds[0]):
        band = ": multilingual single-stage is best on a part of the map"
    return Guideline(SWITCH, False, f"with less target text {steps}{band}", share)


def rms_scatter(log_epochs: np.ndarray, counts: np.ndarray) -> float:
    """Root mean square of the scatter of curves about their mean at each place, in log epochs.

    Curves (C, X); `counts`, (C, X) bool, marks what is compared. Places with fewer than two curves
    are left out; infinite where that leaves none.
    """
    counts = counts & (counts.sum(axis=0) >= 2)
    if not counts.any():
        return np.inf
    curves = np.maximum(counts.sum(axis=0), 1)
    mean = np.where(counts, log_epochs, 0.0).sum(axis=0) / curves
    squares = np.where(counts, log_epochs - mean, 0.0) ** 2
    return float(np.sqrt(squares.sum() / counts.sum()))


def collapse(
    scaled: Sequence[float], plain: Sequence[float], exponent: float, expected: float | None
) -> Guideline:
    """Guideline 2, from the scatter of each member's curves against D_T / D*(C) and against D_T.

    It holds where budgets scatter by at most 20% in epochs, and by at most half as much (in the
    logarithm) against D_T / D*(C) as against D_T. `exponent` is that of D*(C) in C, `expected` is
    α/(α+β).
    """

    def holds(scaled: float, plain: float) -> bool | None:
        # Budgets that share no corpus size are as far apart in D_T as can be.
        return None if not np.isfinite(scaled) else bool(scaled <= ALIKE and scaled <= plain / 2)

    verdicts = [holds(*scatters) for scatters in zip(scaled, plain, strict=True)]
    share = _share_that_holds(verdicts[1:])
    growth = f"D* grows as C^{exponent:.3f}"
    if expected is not None:
        growth += f", α/(α+β) is {expected:.3f}"
    if verdicts[0] is None:
        why = "no two budgets have a best number of epochs, free of bounds, at the same D_T / D*(C)"
        return Guideline(COLLAPSE, None, f"{why}; {growth}", share)
    against = f"{np.exp(plain[0]):.3g} against D_T" if np.isfinite(plain[0]) else "none against D_T"
    return Guideline(
        COLLAPSE,
        verdicts[0],
        f"budgets differ in best epochs by a factor of {np.exp(scaled[0]):.3g} at the same"
        f" D_T / D*(C) ({against}); {growth}",
        share,
    )
