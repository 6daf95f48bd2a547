"""What `split_budget` and `shared_model` return."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...recipe import REGIMES, Recipe
from .._result import finite_or_none
from ..question import Standing


@dataclasses.dataclass(frozen=True)
class BudgetSplit:
    """A budget over L languages.

    Attributes:
        languages: L names.
        weight: of each language, summing to one, (L,).
        compute: of each, FLOP, summing to the budget, (L,).
        recipe: leaves (L,).
        standings: how each recipe stands in its part of the budget, L.
        regime: index into `recipe.REGIMES`, (L,).
        loss: predicted, nats per token, (L,).
        mean_loss: weighted.
        equal_loss: the same if every language had an equal share; infinite where that is too little
            for one.
        price: fall of the mean loss per FLOP more.
        kkt: largest |w·dL/d(log C) − price·C| over the mean loss, of languages that are neither at
            the least that can train them nor take all there is.
        gap: mean loss less a lower bound on it, nats. Proven where `convex`; elsewhere the bound
            takes each language's curve in each regime to be convex between its points.
        convex: whether law and limits make those curves convex (posynomial laws, no ladder and no
            cap on source tokens).
    """

    languages: tuple[str, ...]
    weight: np.ndarray
    compute: np.ndarray
    recipe: Recipe
    standings: tuple[Standing, ...]
    regime: np.ndarray
    loss: np.ndarray
    mean_loss: float
    equal_loss: float
    price: float
    kkt: float
    gap: float
    convex: bool

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per language."""
        return [
            {
                "language": name,
                "weight": float(self.weight[i]),
                "compute": float(self.compute[i]),
                "share": float(self.compute[i] / self.compute.sum()),
                "regime": REGIMES[self.regime[i]],
                **{field: float(leaf[i]) for field, leaf in vars(self.recipe).items()},
                "loss": float(self.loss[i]),
                **self.standings[i].record(),
            }
            for i, name in enumerate(self.languages)
        ]

    @property
    def price_in_words(self) -> str:
        """What compute is worth, in a sentence."""
        fall = self.price * 0.01 * float(self.compute.sum())
        return f"the next 1% of compute lowers the mean loss by {fall:.2g}"

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "languages": self.records(),
            "compute": float(self.compute.sum()),
            "mean_loss": self.mean_loss,
            "equal_loss": finite_or_none(self.equal_loss),
            "price": self.price,
            "price_in_words": self.price_in_words,
            "kkt_residual": self.kkt,
            "gap": self.gap,
            "convex": self.convex,
        }


@dataclasses.dataclass(frozen=True)
class SharedModel:
    """One model trained on L target languages and a source.

    Attributes:
        languages: L names.
        weight: of each, summing to one, (L,).
        n_params, total_tokens: of the model, and of its training.
        recipe: of each language as its law sees it, leaves (L,): all other text is its source.
        standings: how each language's recipe stands in the whole budget, L.
        source_ratio: share of all tokens that is in no target language.
        regime: single-stage or two-stage, a member of `recipe.REGIMES`.
        loss: predicted, nats per token, (L,).
        mean_loss: weighted.
        kkt: largest violation of the KKT conditions, relative to the mean loss.
        gap: mean loss less a proven lower bound, nats; infinite where nothing is proven (laws that
            are not posynomial).
        agreement: share of starts that ended within 1e-6 of the best; convex problems need but one.
    """

    languages: tuple[str, ...]
    weight: np.ndarray
    n_params: float
    total_tokens: float
    recipe: Recipe
    standings: tuple[Standing, ...]
    source_ratio: float
    regime: str
    loss: np.ndarray
    mean_loss: float
    kkt: float
    gap: float
    agreement: float

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per language."""
        return [
            {
                "language": name,
                "weight": float(self.weight[i]),
                **{field: float(leaf[i]) for field, leaf in vars(self.recipe).items()},
                "loss": float(self.loss[i]),
                **self.standings[i].record(),
            }
            for i, name in enumerate(self.languages)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "languages": self.records(),
            "n_params": self.n_params,
            "total_tokens": self.total_tokens,
            "budget_used": self.standings[0].budget_used,
            "source_ratio": self.source_ratio,
            "regime": self.regime,
            "mean_loss": self.mean_loss,
            "kkt_residual": self.kkt,
            "gap": finite_or_none(self.gap),
            "start_agreement": self.agreement,
        }
