"""What a regime map holds, and its tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...recipe import REGIMES, Recipe
from ...variables import REGIME_WORDS
from .._result import finite_or_none
from ..question import NO_STANDING, Standing
from ._guidelines import Guideline


@dataclasses.dataclass(frozen=True)
class Crossing:
    """A corpus size at which the best regime changes, at one budget.

    Attributes:
        compute: FLOP.
        target_tokens: unique target tokens, to 1e-6 of a step of the grid.
        below, above: best regime with less and with more, members of `recipe.REGIMES`.
        margin: loss given up there by the third regime, nats; infinite if not on offer.
        low, high: interval over bootstrap draws; draws that have one of the two regimes all along
            count as beyond that end of the map. None without draws.
        share: of draws, those with such a change on the map. None without draws.
    """

    compute: float
    target_tokens: float
    below: str
    above: str
    margin: float
    low: float | None
    high: float | None
    share: float | None


@dataclasses.dataclass(frozen=True)
class RegimeMap:
    """Best regimes of one language over C budgets × T corpus sizes.

    Attributes:
        language: its name.
        compute: FLOP, ascending, (C,).
        target_tokens: unique target tokens, ascending, (T,).
        regime: index into `recipe.REGIMES`, −1 where no recipe is allowed, (C, T).
        recipe: leaves (C, T), zero where none is allowed.
        standings: (budget, size) -> how the recipe stands, where there is one.
        loss: nats per token, (C, T); infinite where no recipe is allowed.
        by_regime_loss: (C, T, 3), infinite for what is not allowed.
        regime_share: share of bootstrap draws in which each regime is best, (C, T, 3).
        crossings: of the best regime, by compute and size.
        slope: exponent in C of the size above which monolingual is best; None if that is found at
            fewer than two budgets.
        optimal_tokens: D*(C), monolingual compute-optimal corpus size at one epoch, (C,).
        exponent: of D*(C) in C, least squares; `expected_exponent` α/(α+β), None for laws without.
        relative_tokens: D_T / D*(C) at which the epochs are compared, (X,).
        epochs: best there, (C, X).
        free: where that is on the map and no bound but compute has a say in it, (C, X).
        spread: root mean square scatter of log epochs over budgets at the same D_T / D*(C), and
        plain_spread: at the same D_T; infinite where nothing can be compared.
        guidelines: the direct switch and the collapse, and whether they hold.
        notes: what was held and why.
        n_draws: bootstrap draws behind shares and intervals.
    """

    language: str
    compute: np.ndarray
    target_tokens: np.ndarray
    regime: np.ndarray
    recipe: Recipe
    standings: Mapping[tuple[int, int], Standing]
    loss: np.ndarray
    by_regime_loss: np.ndarray
    regime_share: np.ndarray
    crossings: tuple[Crossing, ...]
    slope: float | None
    optimal_tokens: np.ndarray
    exponent: float
    expected_exponent: float | None
    relative_tokens: np.ndarray
    epochs: np.ndarray
    free: np.ndarray
    spread: float
    plain_spread: float
    guidelines: tuple[Guideline, Guideline]
    notes: tuple[str, ...]
    n_draws: int

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per cell of the map, None where there is nothing to say."""
        return [self._record(j, t) for j, t in np.ndindex(*self.regime.shape)]

    def _record(self, j: int, t: int) -> dict[str, Any]:
        ok, tokens = bool(self.regime[j, t] >= 0), float(self.target_tokens[t])
        row: dict[str, Any] = {
            "language": self.language,
            "compute": float(self.compute[j]),
            "target_tokens": tokens,
            "optimal_tokens": float(self.optimal_tokens[j]),
            "relative_tokens": tokens / float(self.optimal_tokens[j]),
            "regime": REGIMES[self.regime[j, t]] if ok else None,
        }
        for name in ("n_params", "epochs", "target_ratio", "final_ratio", "first_ratio"):
            row[name] = float(getattr(self.recipe, name)[j, t]) if ok else None
        row["loss"] = float(self.loss[j, t]) if ok else None
        row.update(self.standings[j, t].record() if ok else NO_STANDING)
        drawn = ok and self.n_draws > 0
        for k, regime in enumerate(REGIME_WORDS.values()):
            row[f"loss_{regime.key}"] = finite_or_none(self.by_regime_loss[j, t, k])
            row[f"share_{regime.key}"] = float(self.regime_share[j, t, k]) if drawn else None
        return row

    def thresholds(self) -> list[dict[str, Any]]:
        """One flat dict per crossing; None where there is nothing to say."""
        return [
            {"language": self.language, **vars(crossing), "margin": finite_or_none(crossing.margin)}
            for crossing in self.crossings
        ]

    def curves(self) -> list[dict[str, Any]]:
        """One flat dict per budget and D_T / D*(C): the best epochs, and whether they are free."""
        return [
            {
                "language": self.language,
                "compute": float(self.compute[j]),
                "relative_tokens": float(x),
                "target_tokens": float(x * self.optimal_tokens[j]),
                "epochs": float(self.epochs[j, i]),
                "free": bool(self.free[j, i]),
            }
            for j in range(len(self.compute))
            for i, x in enumerate(self.relative_tokens)
        ]

    def summary(self) -> dict[str, Any]:
        """What was found, ready for JSON: guidelines, thresholds, D*(C) and the collapse."""
        return {
            "language": self.language,
            "guidelines": [vars(g) | {"verdict": g.verdict} for g in self.guidelines],
            "thresholds": self.thresholds(),
            "threshold_exponent": self.slope,
            "optimal_tokens": {
                f"{c:.6g}": float(d) for c, d in zip(self.compute, self.optimal_tokens, strict=True)
            },
            "optimal_exponent": self.exponent,
            "expected_exponent": self.expected_exponent,
            "spread": finite_or_none(self.spread),
            "plain_spread": finite_or_none(self.plain_spread),
            "n_draws": self.n_draws,
            "notes": list(self.notes),
        }
