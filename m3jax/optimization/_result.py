"""What `optimize` returns: best recipes over languages, budgets and corpus sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from .._views import Views, drawn, require_xarray
from ..formatting import count, quantity, quoted, write_brief
from ..recipe import REGIMES, Recipe
from ..variables import REGIME_WORDS
from .question import ACTIVE, NO_STANDING, Questions, Standing
from .solvers import LIMITS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Position = tuple[int, int, int]  # language, budget, corpus size


def finite_or_none(x: float) -> float | None:
    """A number for JSON, which knows no infinity."""
    return float(x) if np.isfinite(x) else None


@dataclasses.dataclass(frozen=True, repr=False)
class Recommendations(Views):
    """Best recipes for L languages × C budgets × T corpus sizes.

    Where no recipe keeps the limits, `feasible` is False, the recipe is all zeros, its loss
    infinite and `infeasible` says why; the same holds in `by_regime` for regimes that are not on
    offer.

    Attributes:
        languages: L names.
        compute: budgets in FLOP, shape (C,).
        target_tokens: unique target tokens at hand, shape (L, T).
        feasible: shape (L, C, T) bool.
        recipe: leaves (L, C, T).
        loss: predicted, nats per token, shape (L, C, T).
        regime: index into `recipe.REGIMES`, shape (L, C, T).
        kkt: KKT residual of the log loss in log-variables, shape (L, C, T); infinite where the
            polish failed and the recipe, though allowed, is unproven.
        agreement: share of starts that ended at this optimum, shape (L, C, T).
        gap: log loss less a proven lower bound on it, shape (L, C, T): the duality gap of convex
            problems, what branch and bound left where it was asked for, else infinite.
        multipliers: d(log loss)/d(log limit), sign turned, by `LIMITS`, shape (L, C, T, 17).
        loss_low, loss_high: interval of the loss at the recipe over bootstrap draws, (L, C, T).
        recipe_low, recipe_high: intervals of each draw's own best recipe, leaves (L, C, T).
        regime_share: share of draws in which each regime is best, shape (L, C, T, 3).
        regret: mean over draws of the loss given up against each draw's own best, (L, C, T).
        by_regime: best recipe of each regime, leaves (L, C, T, 3).
        by_regime_loss: its loss, shape (L, C, T, 3).
        infeasible: position -> why no recipe is allowed there.
        notes: per language, the ground its recipes rest on under pooling, what was held and why.
        n_draws: bootstrap draws behind the intervals; with none they equal the point values.
        level: of the intervals.
        questions: what was asked, for what builds on the answers.
    """

    languages: tuple[str, ...]
    compute: np.ndarray
    target_tokens: np.ndarray
    feasible: np.ndarray
    recipe: Recipe
    loss: np.ndarray
    regime: np.ndarray
    kkt: np.ndarray
    agreement: np.ndarray
    gap: np.ndarray
    multipliers: np.ndarray
    loss_low: np.ndarray
    loss_high: np.ndarray
    recipe_low: Recipe
    recipe_high: Recipe
    regime_share: np.ndarray
    regret: np.ndarray
    by_regime: Recipe
    by_regime_loss: np.ndarray
    infeasible: Mapping[Position, str]
    notes: tuple[tuple[str, ...], ...]
    n_draws: int
    level: float
    questions: Questions

    def to_frame(self) -> pd.DataFrame:
        """One row a position: `records()` as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(self.records())

    def summary(self) -> str:
        """What these recommendations are, in a line."""
        places, allowed = self.feasible.size, int(self.feasible.sum())
        some = quoted(self.languages, most=4)
        first = next(iter(self.standings), None)
        best = "" if first is None else f"; first {_in_a_line(self.at(*first), self.loss[first])}"
        return f"{allowed} of {quantity(places, 'recipe')} for {some}{best}"

    def brief_frame(self) -> pd.DataFrame:
        """The first recipes, in the columns that matter most."""
        shown = ["language", "compute", "target_tokens", "regime", "n_params", "epochs"]
        shown += ["target_ratio", "final_ratio", "loss", "loss_low", "loss_high", "budget_used"]
        return super().brief_frame()[shown]

    def plot(self, language: str | None = None) -> Figure:
        """The best recipe of a language against corpus or compute, with intervals.

        `language` may be left out where there is only one. Raises `M3Error` without matplotlib, for
        an unknown language, or if none of its positions allows a recipe.
        """
        return drawn(self, language)

    def to_xarray(self) -> Any:
        """The numbers of `to_frame()` and the regime as an `xarray.Dataset`, by position.

        Its dimensions are language, compute and target_tokens. Where the corpora differ by language
        the third is `corpus`, and `target_tokens` a coordinate by language and corpus. No number is
        NaN. Raises `M3Error` without xarray.
        """
        frame, shape, sizes = self.to_frame(), self.feasible.shape, self.target_tokens
        alike = bool(np.all(sizes == sizes[:1]))
        third = "target_tokens" if alike else "corpus"
        dims = ("language", "compute", third)
        numbers = frame.drop(columns=["language", "compute", "target_tokens", "regime"])
        numbers = numbers.select_dtypes(["number", "bool"])
        return require_xarray().Dataset(
            {
                "regime": (dims, frame["regime"].fillna("").to_numpy(str).reshape(shape)),
                **{name: (dims, c.to_numpy().reshape(shape)) for name, c in numbers.items()},
            },
            coords={
                "language": list(self.languages),
                "compute": self.compute,
                "target_tokens": (third, sizes[0]) if alike else (("language", "corpus"), sizes),
            },
            attrs={"summary": self.summary()},
        )

    @cached_property
    def standings(self) -> Mapping[Position, Standing]:
        """Position -> how its recipe stands: budget used, what holds it, distance from the runs."""
        return {
            (i, j, t): self.questions.standing(
                i,
                self.at(i, j, t),
                self.multipliers[i, j, t],
                float(self.compute[j]),
                float(self.target_tokens[i, t]),
            )
            for i, j, t in np.argwhere(self.feasible).tolist()
        }

    @property
    def outside(self) -> Mapping[Position, tuple[str, ...]]:
        """Position -> in which variables the recipe leaves the range of its language's runs."""
        return {
            position: tuple(map(str, standing.outside))
            for position, standing in self.standings.items()
            if standing.outside
        }

    def active(self, *position: int) -> tuple[str, ...]:
        """Names of the limits that hold the optimum at a position (language, budget, size)."""
        return tuple(
            name
            for name, value in zip(LIMITS, self.multipliers[position], strict=True)
            if value > ACTIVE
        )

    def at(self, *position: int) -> Recipe:
        """The recipe (of floats) at a position (language, budget, size)."""
        return jax.tree.map(lambda leaf: float(leaf[position]), self.recipe)

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per position, for tables and JSON; None where there is nothing to say."""
        return [self._record(p) for p in np.ndindex(*self.feasible.shape)]

    def _record(self, p: tuple[int, ...]) -> dict[str, Any]:
        i, j, t = p
        row: dict[str, Any] = {
            "language": self.languages[i],
            "compute": float(self.compute[j]),
            "target_tokens": float(self.target_tokens[i, t]),
            "feasible": bool(self.feasible[p]),
        }
        fields = [f.name for f in dataclasses.fields(Recipe) if f.name != "target_tokens"]
        ok, drawn = row["feasible"], self.feasible[p] and self.n_draws > 0
        recipe = self.at(i, j, t)
        row["regime"] = REGIMES[self.regime[p]] if ok else None
        for name in fields:
            row[name] = getattr(recipe, name) if ok else None
            row[f"{name}_low"] = float(getattr(self.recipe_low, name)[p]) if drawn else None
            row[f"{name}_high"] = float(getattr(self.recipe_high, name)[p]) if drawn else None
        row["stage_fraction"] = float(recipe.stage_fraction) if ok else None
        row["total_tokens"] = float(recipe.total_tokens) if ok else None
        row["source_tokens"] = float(recipe.source_tokens) if ok else None
        row["compute_used"] = float(recipe.compute) if ok else None
        read = recipe.target_tokens * min(recipe.epochs, 1.0)
        row["share_read"] = read / row["target_tokens"] if ok else None
        row["loss"] = float(self.loss[p]) if ok else None
        row["loss_low"] = float(self.loss_low[p]) if drawn else None
        row["loss_high"] = float(self.loss_high[p]) if drawn else None
        row["regret"] = float(self.regret[p]) if drawn else None
        for k, regime in enumerate(REGIME_WORDS.values()):
            row[f"loss_{regime.key}"] = finite_or_none(self.by_regime_loss[(*p, k)])
            row[f"share_{regime.key}"] = float(self.regime_share[(*p, k)]) if drawn else None
        row["kkt_residual"] = finite_or_none(self.kkt[p]) if ok else None
        row["gap"] = finite_or_none(self.gap[p]) if ok else None
        row["start_agreement"] = float(self.agreement[p]) if ok else None
        row["active_limits"] = list(self.active(i, j, t)) if ok else []
        row.update(self.standings[i, j, t].record() if ok else NO_STANDING)
        row["infeasible"] = self.infeasible.get((i, j, t))
        return row


def _in_a_line(recipe: Recipe, loss: float) -> str:
    """A recipe of floats, briefly."""
    final = f" to {recipe.final_ratio:.2g}" if recipe.final_ratio > recipe.target_ratio else ""
    return (
        f"{count(recipe.n_params)} parameters, {write_brief('epochs', recipe.epochs)} epochs, ratio"
        f" {recipe.target_ratio:.2g}{final}, loss {loss:.4g}"
    )
