"""Recipes that several laws were asked for: weights, what each would do, and what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from .._progress import Progress
from ..fitting import Fits, predict
from ..laws import Law
from ..optimization import Recommendations, optimize
from ..options import names_in
from ..recipe import REGIMES, Recipe
from ..runs import RunTable
from ..variables import VARIABLES
from ._compare import predict_held_out
from ._stacking import stacking_weights

_DIFFERENT = 1.5  # factor in a variable from which two laws' recipes disagree
_HEARD = 0.1  # weight from which a law's disagreement is worth a word
_SAME = 5e-5  # nats; less is not worth a word

_COMPARED = ("n_params", "epochs", "target_ratio")


@dataclasses.dataclass(frozen=True)
class AveragedRecommendations:
    """Recipes for L languages × C budgets × T corpus sizes that rest on M laws.

    Attributes:
        laws: M names.
        languages, compute, target_tokens: as in `Recommendations`.
        weights: of the laws, (L, M); they sum to one.
        by_law: law -> what it recommends by itself.
        feasible: where every law has a recipe, (L, C, T) bool.
        recipe: leaves (L, C, T), zeros where not feasible. Of the recipes that the laws recommend,
            and their geometric mean where they agree on the regime, the one whose weighted mean
            predicted loss is lowest.
        loss: its weighted mean predicted loss, nats per token, (L, C, T).
        loss_by_law: its loss as each law predicts it, (L, C, T, M).
        cost_by_law: what it would cost if that law were right: its loss as the law predicts it
            minus that of the law's own best recipe, nats, (L, C, T, M).
        messages: position -> where laws disagree on the recipe, in sentences; none where they agree
            or nothing hangs on it.
    """

    laws: tuple[str, ...]
    languages: tuple[str, ...]
    compute: np.ndarray
    target_tokens: np.ndarray
    weights: np.ndarray
    by_law: Mapping[str, Recommendations]
    feasible: np.ndarray
    recipe: Recipe
    loss: np.ndarray
    loss_by_law: np.ndarray
    cost_by_law: np.ndarray
    messages: Mapping[tuple[int, int, int], tuple[str, ...]]

    def at(self, *position: int) -> Recipe:
        """The recipe (of floats) at a position (language, budget, size)."""
        return jax.tree.map(lambda leaf: float(leaf[position]), self.recipe)

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per position, with the laws' own recipes under their names."""
        return [self._record(p) for p in np.ndindex(*self.feasible.shape)]

    def _record(self, p: tuple[int, ...]) -> dict[str, Any]:
        i, j, t = p
        ok, recipe = bool(self.feasible[p]), self.at(*p)
        row: dict[str, Any] = {
            "language": self.languages[i],
            "compute": float(self.compute[j]),
            "target_tokens": float(self.target_tokens[i, t]),
            "feasible": ok,
            "regime": REGIMES[int(recipe.regime)] if ok else None,
            "loss": float(self.loss[p]) if ok else None,
            **{n: v if ok else None for n, v in vars(recipe).items() if n != "target_tokens"},
            "disagreement": list(self.messages.get((i, j, t), ())),
            "laws": {},
        }
        for m, law in enumerate(self.laws):
            own = self.by_law[law].at(*p)
            row["laws"][law] = {
                "weight": float(self.weights[i, m]),
                "regime": REGIMES[int(own.regime)] if ok else None,
                **{n: v if ok else None for n, v in vars(own).items() if n != "target_tokens"},
                "loss_of_its_own": float(self.by_law[law].loss[p]) if ok else None,
                "loss": float(self.loss_by_law[(*p, m)]) if ok else None,
                "cost": float(self.cost_by_law[(*p, m)]) if ok else None,
            }
        return row


def weigh(
    runs: RunTable,
    laws: str | Sequence[str | Law] = "all",
    *,
    holdouts: str | Sequence[str] = ("compute", "folds"),
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, dict[str, float]]:
    """Language -> law -> weight, from how the laws predict held-out runs.

    The weights are those of `comparison.stacking_weights`; `options` are the others of `compare`.
    Languages that no law could be tested on are left out. Raises as `compare` does.
    """
    held_out = predict_held_out(
        runs, laws, holdouts=holdouts, seed=seed, progress=progress, **options
    )
    weights = {}
    for language in runs.languages:
        if any(language in result.fitted for result in held_out):
            weights[language] = stacking_weights(runs, held_out, language, seed=seed)
    return weights


def recommend(
    fits: Sequence[Fits],
    weights: Mapping[str, Mapping[str, float]],
    *,
    compute: npt.ArrayLike,
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    languages: str | Sequence[str] | None = None,
    least_weight: float = 0.02,
    progress: Progress | None = None,
    **limits: Any,
) -> AveragedRecommendations:
    """The recipe to take when several laws have a say.

    Args:
        fits: one a law, of the same runs.
        weights: language -> law -> weight, as `weigh` gives them; of each language they are scaled
            to sum to one over the laws that are asked.
        compute: budgets, as in `optimize`, which is called for each law.
        target_tokens: corpus sizes, as in `optimize`.
        languages: names, as in `optimize`.
        least_weight: laws that have less in every language are not asked.
        progress: called as `progress(stage, done, total)`.
        **limits: the others of `optimize`.

    Raises `M3Error` if no fitted law has weight in some language, and as `optimize` does.
    """
    names = [f.law.name for f in fits]
    if len(set(names)) < len(names):
        raise M3Error(f"fits: expected one a law, got {', '.join(names)}")
    common = [n for n in weights if all(n in f.languages for f in fits)]
    chosen = common if languages is None else list(names_in(languages))
    for language in chosen:
        if language not in weights:
            raise M3Error(f"weights: nothing on language {language!r}")
        if not any(weights[language].get(name, 0.0) >= least_weight for name in names):
            raise M3Error(f"language {language!r}: none of {', '.join(names)} has weight")
    if not chosen:
        raise M3Error("no language has weights and a fit of every law")
    used = [
        f
        for f in fits
        if any(weights[language].get(f.law.name, 0.0) >= least_weight for language in chosen)
    ]
    given: dict[str, Any] = {
        "compute": compute,
        "target_tokens": target_tokens,
        "languages": chosen,
    }
    by_law = {f.law.name: optimize(f, progress=progress, **given, **limits) for f in used}
    share = np.array([[weights[n].get(name, 0.0) for name in by_law] for n in chosen])
    return _combined(used, by_law, share / share.sum(axis=1, keepdims=True))


def _combined(
    fits: Sequence[Fits], by_law: Mapping[str, Recommendations], weights: np.ndarray
) -> AveragedRecommendations:
    recommendations = list(by_law.values())
    first = recommendations[0]
    feasible = np.all([r.feasible for r in recommendations], axis=0)
    own = [
        jax.tree.map(lambda leaf: np.where(feasible, leaf, 1.0), r.recipe) for r in recommendations
    ]
    candidates = [*own, _mean(own, weights)]
    loss = np.stack(
        [
            np.stack([_losses(f, first.languages, recipe) for f in fits], axis=-1)
            for recipe in candidates
        ]
    )  # (candidates, L, C, T, M)
    weighted = np.sum(loss * weights[:, None, None, :], axis=-1)
    agreed = np.all([r.regime == first.regime for r in recommendations], axis=0)
    weighted[-1] = np.where(agreed, weighted[-1], np.inf)
    best = np.argmin(weighted, axis=0)

    def pick(values: np.ndarray) -> np.ndarray:
        index = best[None].reshape(1, *best.shape, *[1] * (values.ndim - 1 - best.ndim))
        return np.take_along_axis(values, index, axis=0)[0]

    recipe = jax.tree.map(
        lambda *leaves: np.where(feasible, pick(np.stack(leaves)), 0.0), *candidates
    )
    by_law_loss = pick(loss)
    own_best = np.stack([r.loss for r in recommendations], axis=-1)
    cost = np.where(
        feasible[..., None], by_law_loss - np.where(feasible[..., None], own_best, 0), 0
    )
    return AveragedRecommendations(
        laws=tuple(by_law),
        languages=first.languages,
        compute=first.compute,
        target_tokens=first.target_tokens,
        weights=weights,
        by_law=by_law,
        feasible=feasible,
        recipe=recipe,
        loss=np.where(feasible, pick(weighted), np.inf),
        loss_by_law=by_law_loss,
        cost_by_law=cost,
        messages=_disagreements(tuple(by_law), own, recommendations, weights, feasible, cost),
    )


def _mean(own: Sequence[Recipe], weights: np.ndarray) -> Recipe:
    """The weighted geometric mean of recipes with leaves (L, C, T).

    Budgets, caps and bounds are products of powers, so it keeps them where all of `own` do and have
    the same regime.
    """

    def mean(*leaves: np.ndarray) -> np.ndarray:
        stacked = np.log(np.stack(leaves, axis=-1))
        return np.exp(np.sum(stacked * weights[:, None, None, :], axis=-1))

    share = own[0].first_ratio / own[0].target_ratio
    middle = {
        name: mean(*(getattr(recipe, name) for recipe in own))
        for name in ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio")
    }
    return Recipe(**middle, first_ratio=share * middle["target_ratio"])


def _losses(fits: Fits, languages: Sequence[str], recipe: Recipe) -> np.ndarray:
    """Predicted losses of recipes (L, C, T), each under its own language's coefficients."""
    rows = []
    for i, language in enumerate(languages):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], recipe)
        rows.append(predict(fits.law, fits.theta[[fits.index(language)]], own)[0])
    return np.stack(rows)


def _disagreements(
    laws: Sequence[str],
    own: Sequence[Recipe],
    recommendations: Sequence[Recommendations],
    weights: np.ndarray,
    feasible: np.ndarray,
    cost: np.ndarray,
) -> dict[tuple[int, int, int], tuple[str, ...]]:
    messages = {}
    for i, j, t in np.argwhere(feasible).tolist():
        heard = [m for m in range(len(laws)) if weights[i, m] >= _HEARD]
        sentences = []
        regimes = {m: REGIMES[recommendations[m].regime[i, j, t]] for m in heard}
        if len(set(regimes.values())) > 1:
            sides = [
                f"{regime} ({', '.join(laws[m] for m in heard if regimes[m] == regime)})"
                for regime in dict.fromkeys(regimes.values())
            ]
            sentences.append(f"the laws disagree on the regime: {' or '.join(sides)}")
        for name in _COMPARED:
            values = sorted((float(getattr(own[m], name)[i, j, t]), laws[m]) for m in heard)
            (low, lowest), (high, highest) = values[0], values[-1]
            if high > _DIFFERENT * low:
                sentences.append(
                    f"the laws disagree on the {VARIABLES[name].noun}: {low:.3g} ({lowest}) to"
                    f" {high:.3g} ({highest})"
                )
        if sentences:
            worst = max(heard, key=lambda m: cost[i, j, t, m])
            price = cost[i, j, t, worst]
            if price < _SAME:
                sentences.append("but nothing hangs on it: no law would lose by this recipe")
            else:
                sentences.append(f"if {laws[worst]} is right, this recipe costs {price:.4f} nats")
            messages[i, j, t] = tuple(sentences)
    return messages
