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


def _share(held: Sequence[bool | None]) -> float | None:
    told = [h for h in held if h is not None]
    return float(np.mean(told)) if told else None


SWITCH = "less target text: straight from monolingual to two stages"
COLLAPSE = "best epochs: one curve in D_T / D*(C)"


def direct_switch(
    found: Crossings, members: int, compute: np.ndarray, offered: Sequence[int], closest: float
) -> Guideline:
    """Guideline 1, from all crossings; rows are members × budgets.

    `closest` is the least that single-stage recipes of both languages lose where two stages are
    best, in nats.
    """
    missing = [REGIMES[k] for k in range(len(REGIMES)) if k not in offered]
    if missing:
        tell = f"the runs, or the limits, leave no {' and no '.join(missing)}"
        return Guideline(SWITCH, None, tell, None)
    count = len(compute)
    kinds: list[set[tuple[int, int]]] = [set() for _ in range(members)]
    for row, below, above in zip(found.row, found.below, found.above, strict=True):
        kinds[row // count].add((int(above), int(below)))
    direct = {(MONOLINGUAL, TWO_STAGE)}
    held = [None if not kind else kind == direct for kind in kinds]
    share = _share(held[1:])
    if held[0] is None:
        return Guideline(SWITCH, None, "one regime is best all over the map", share)
    own = found.row < count
    budgets = {
        kind: np.unique(found.row[own & (found.above == kind[0]) & (found.below == kind[1])])
        for kind in sorted(kinds[0])
    }
    if held[0]:
        return Guideline(
            SWITCH,
            True,
            f"a direct switch at {len(budgets[MONOLINGUAL, TWO_STAGE])} of {count} budgets; where"
            f" two stages are best, one stage of both languages loses at least {closest:.2g} nats",
            share,
        )
    steps = "; ".join(
        f"from {REGIMES[above]} to {REGIMES[below]} at {len(at)} of {count} budgets"
        for (above, below), at in budgets.items()
    )
    band = ""
    if any(SINGLE_STAGE in kind for kind in kinds[0]):
        band = ": multilingual single-stage is best on a part of the map"
    return Guideline(SWITCH, False, f"with less target text {steps}{band}", share)


def spread(log_epochs: np.ndarray, told: np.ndarray) -> float:
    """Root mean square of the scatter of curves about their mean at each place, in log epochs.

    Curves (C, X) with `told` marking what counts; places with fewer than two curves say nothing.
    Infinite where all say nothing.
    """
    told = told & (told.sum(axis=0) >= 2)
    if not told.any():
        return np.inf
    count = np.maximum(told.sum(axis=0), 1)
    middle = np.where(told, log_epochs, 0.0).sum(axis=0) / count
    squares = np.where(told, log_epochs - middle, 0.0) ** 2
    return float(np.sqrt(squares.sum() / told.sum()))


def collapse(
    scaled: Sequence[float], plain: Sequence[float], exponent: float, expected: float | None
) -> Guideline:
    """Guideline 2, from the spreads of each member against D_T / D*(C) and against D_T.

    It holds where budgets scatter by at most 20% in epochs, and by at most half as much (in the
    logarithm) against D_T / D*(C) as against D_T. `exponent` is that of D*(C) in C, `expected` is
    α/(α+β).
    """

    def judged(a: float, b: float) -> bool | None:
        # Budgets that share no corpus size are as far apart in D_T as can be.
        return None if not np.isfinite(a) else bool(a <= ALIKE and a <= b / 2)

    held = [judged(a, b) for a, b in zip(scaled, plain, strict=True)]
    share = _share(held[1:])
    law = f"D* grows as C^{exponent:.3f}"
    if expected is not None:
        law += f", α/(α+β) is {expected:.3f}"
    if held[0] is None:
        why = "no two budgets have a best number of epochs, free of bounds, at the same D_T / D*(C)"
        return Guideline(COLLAPSE, None, f"{why}; {law}", share)
    against = f"{np.exp(plain[0]):.3g} against D_T" if np.isfinite(plain[0]) else "none against D_T"
    return Guideline(
        COLLAPSE,
        held[0],
        f"budgets differ in best epochs by a factor of {np.exp(scaled[0]):.3g} at the same"
        f" D_T / D*(C) ({against}); {law}",
        share,
    )
