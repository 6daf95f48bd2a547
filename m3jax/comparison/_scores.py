"""Scores of laws on runs that they have not seen, and how sure the differences are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._views import Views, drawn
from ..fitting import huber, interval
from ..formatting import quantity, quoted
from ..runs import RunTable
from ._held_out import HeldOut
from ._information import information_criteria
from ._regret import measured_regret

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_DRAWS, _LEVEL = 1000, 0.9


@dataclasses.dataclass(frozen=True)
class Score:
    """How a law fitted without the held-out runs of a language predicts them.

    Attributes:
        law, language, holdout: what was fitted, to whom, without what.
        n_train, n_test: runs. Of a hold-out of several splits, the mean and the sum.
        n_coefficients: how many were fitted.
        objective: sum of Huber losses on the training runs; None if the law could not be fitted.
        aic, bic: of the fit to the training runs; comparable between laws in one hold-out.
        mae: mean absolute error on the held-out runs, nats per token.
        mean_relative_error: mean of |predicted/measured − 1| on them.
        r2: share of their variance explained (negative: worse than their mean).
        test_objective: sum of Huber losses on them, of one delta for all laws.
        regret: what following the law would have cost, nats: among held-out runs of one corpus size
            and one budget, measured loss of the run predicted best minus the best measured; mean
            over the groups of such runs. None where there are none.
        n_slices: how many groups there are.
        behind: mae minus that of the best law of this language and hold-out; 0 for the best.
        behind_low, behind_high: 90% interval of it, from resampling the held-out clusters. If it
            holds 0, these runs cannot tell the law from the best.
        message: why there are no figures, else None.
    """

    law: str
    language: str
    holdout: str
    n_train: int
    n_test: int
    n_coefficients: int | None = None
    objective: float | None = None
    aic: float | None = None
    bic: float | None = None
    mae: float | None = None
    mean_relative_error: float | None = None
    r2: float | None = None
    test_objective: float | None = None
    regret: float | None = None
    n_slices: int = 0
    behind: float | None = None
    behind_low: float | None = None
    behind_high: float | None = None
    message: str | None = None

    @property
    def level_with_best(self) -> bool:
        """Whether the held-out runs cannot tell the law from the best one."""
        return self.behind_low is not None and self.behind_low <= 0

    def to_dict(self) -> dict[str, Any]:
        """As a flat dict."""
        return dataclasses.asdict(self)


class Scores(Views, tuple[Score, ...]):
    """The scores of a comparison, a tuple that shows itself."""

    def summary(self) -> str:
        """How many laws on what, and which predicts best, in a line."""
        laws, languages, holdouts = (
            list(dict.fromkeys(getattr(each, name) for each in self))
            for name in ("law", "language", "holdout")
        )
        best = next((each for each in self if each.behind == 0), None)
        first = "" if best is None else f"; {best.law} is best ({best.language}, {best.holdout})"
        return (
            f"{quantity(len(laws), 'law')} on runs of {quoted(languages, most=4)} held out by"
            f" {', '.join(holdouts)}{first}"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a score."""
        import pandas as pd

        names = [field.name for field in dataclasses.fields(Score)]
        return pd.DataFrame([each.to_dict() for each in self], columns=names)

    def brief_frame(self) -> pd.DataFrame:
        """The best scores, in the columns that matter most."""
        shown = ["law", "language", "holdout", "mae", "behind", "behind_low", "behind_high"]
        return self.to_frame().sort_values(["holdout", "language", "mae"])[shown].head(20)

    def plot(self) -> Figure:
        """How far each law is behind the best, with intervals.

        Raises `M3Error` without matplotlib, or if no law could be tested.
        """
        return drawn(self)


def score(
    runs: RunTable, held_out: Sequence[HeldOut], *, huber_delta: float | None = None, seed: int = 0
) -> list[Score]:
    """Score predictions of held-out runs against what was measured, language by language.

    One score for each of `held_out` and each language of the table, in that order of nesting.
    Without `huber_delta` errors count by the least that a law was fitted with.
    """
    least: dict[tuple[str, str], float] = {}
    for result in held_out:
        for language, fitted in result.fitted.items():
            place = result.holdout, language
            least[place] = min(least.get(place, math.inf), fitted.huber_delta)
    scores = [
        _scored(runs, result, language, huber_delta or least.get((result.holdout, language)))
        for result in held_out
        for language in runs.languages
    ]
    places: dict[tuple[str, str], list[int]] = {}
    for i, each in enumerate(scores):
        if each.mae is not None:
            places.setdefault((each.holdout, each.language), []).append(i)
    count = len(runs.languages)
    for number, ((_, language), rivals) in enumerate(places.items()):
        errors = np.stack([np.abs(held_out[i // count].predicted - runs.loss) for i in rivals])
        tested = _tested(runs, held_out[rivals[0] // count].held, language)
        cluster = runs.run_id[tested].astype(str)
        rng = np.random.default_rng([seed, 7, number])
        spans = _behind(errors[:, tested], cluster, rng)
        for i, (gap, low, high) in zip(rivals, spans, strict=True):
            scores[i] = dataclasses.replace(scores[i], behind=gap, behind_low=low, behind_high=high)
    return scores


def _tested(runs: RunTable, held: np.ndarray, language: str) -> np.ndarray:
    return np.flatnonzero((runs.language == language) & held & (runs.weight > 0))


def _scored(runs: RunTable, result: HeldOut, language: str, delta: float | None) -> Score:
    test = _tested(runs, result.held, language)
    here = runs.language == language
    blank = Score(
        result.law.name, language, result.holdout, int((here & ~result.held).sum()), len(test)
    )
    message = result.messages.get(language)
    if message is None and not len(test):
        message = "nothing is held out: the held-out runs have no weight"
    if message is not None:
        return dataclasses.replace(blank, message=message)
    fitted, predicted, measured = result.fitted[language], result.predicted[test], runs.loss[test]
    assert delta is not None  # fitted
    losses = huber(np.log(predicted / measured), delta, np)
    spread = np.sum((measured - measured.mean()) ** 2)
    lost, groups = measured_regret(runs, test, result.predicted)
    weight = runs.weight[here & ~result.held].sum() if result.held.any() else fitted.n_train
    aic, bic = information_criteria(
        fitted.objective, max(float(weight), 1.0), fitted.n_coefficients, fitted.huber_delta
    )
    return dataclasses.replace(
        blank,
        n_train=round(fitted.n_train),
        n_coefficients=round(fitted.n_coefficients),
        objective=fitted.objective,
        aic=aic,
        bic=bic,
        mae=float(np.mean(np.abs(predicted - measured))),
        mean_relative_error=float(np.mean(np.abs(predicted / measured - 1))),
        r2=float(1 - np.sum((predicted - measured) ** 2) / spread) if spread > 0 else None,
        test_objective=float(np.sum(runs.weight[test] * losses)),
        regret=lost,
        n_slices=groups,
    )


def _behind(
    errors: np.ndarray, cluster: np.ndarray, rng: np.random.Generator
) -> list[tuple[float, ...]]:
    """How far each law's mean of `errors` (laws, n) is behind the least, with its interval."""
    mean = errors.mean(axis=1)
    gap = errors - errors[np.argmin(mean)]
    _, code = np.unique(cluster, return_inverse=True)
    count = int(code.max()) + 1
    sums = np.stack([np.bincount(code, row, minlength=count) for row in gap], axis=1)
    sizes = np.bincount(code, minlength=count)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=_DRAWS)
    spread = (drawn @ sums) / np.maximum(drawn @ sizes, 1)[:, None]
    low, high = interval(spread, _LEVEL)
    return [tuple(map(float, row)) for row in np.stack([gap.mean(axis=1), low, high], axis=1)]
