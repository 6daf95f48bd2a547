"""Fit every law without the held-out runs, and predict them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

import jax
import numpy as np

from .._progress import Progress, silent
from ..fitting import Fits, fit, predict
from ..laws import Law, get_law, list_laws
from ..recipe import Recipe
from ..runs import RunTable
from ._holdouts import Split, check_holdout, extrapolation_distance, splits
from ._scores import Score, score

_FEW = 64  # fits of a law that the host does sooner than it compiles whole descents
_THREADS = 2  # laws at a time: while one compiles the other fits


class Fitted(NamedTuple):
    """What a law was fitted with in a hold-out, to one language; means where there were several.

    Attributes:
        n_train: runs.
        objective: sum of Huber losses on them.
        n_coefficients: how many were fitted.
    """

    n_train: float
    objective: float
    n_coefficients: float


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """What a law fitted without some runs says about them.

    Attributes:
        law: the law.
        holdout: a member of `HOLDOUTS`.
        held: runs that were held out, (n,) bool.
        predicted: their predicted losses, nats per token, (n,); NaN for other runs, and where the
            law could not be fitted.
        distance: of each held-out run from the nearest fitted one, decades, (n,).
        fitted: language -> what it was fitted with, where it could be.
        messages: language -> why there is no prediction, where there is none.
    """

    law: Law
    holdout: str
    held: np.ndarray
    predicted: np.ndarray
    distance: np.ndarray
    fitted: Mapping[str, Fitted]
    messages: Mapping[str, str]


def compare(
    runs: RunTable,
    laws: str | Sequence[str | Law] = "all",
    *,
    holdouts: Sequence[str] = ("compute",),
    fraction: float = 0.2,
    huber_delta: float = 1e-3,
    starts: int = 8,
    prior: str = "weak",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Score]:
    """Fit every law without the held-out runs and score it on them.

    `laws` is "all" or a list of laws and their names. `huber_delta`, `starts`, `prior` and `seed`
    are those of `fit`; runs of weight 0 are not scored.
    One score for each law, hold-out and language, in that order of nesting. Where a law cannot be
    fitted or nothing is held out, the score says so. Raises `M3Error` on unknown laws or hold-outs.
    """
    found = predict_held_out(
        runs,
        laws,
        holdouts=holdouts,
        fraction=fraction,
        huber_delta=huber_delta,
        starts=starts,
        prior=prior,
        seed=seed,
        progress=progress,
    )
    return score(runs, found, huber_delta=huber_delta, seed=seed)


def predict_held_out(
    runs: RunTable,
    laws: str | Sequence[str | Law] = "all",
    *,
    holdouts: Sequence[str] = ("compute",),
    fraction: float = 0.2,
    huber_delta: float = 1e-3,
    starts: int = 8,
    prior: str = "weak",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[HeldOut]:
    """What each law, fitted without the held-out runs, predicts for them: what `score` scores.

    Arguments and errors are those of `compare`. One result for each law and hold-out, in that order
    of nesting. All hold-outs and languages of a law are fitted in one batch.
    """
    chosen = _chosen(laws)
    options = {"huber_delta": huber_delta, "starts": starts, "prior": prior, "seed": seed}
    parts = {
        name: splits(runs, name, fraction=fraction, seed=seed) for name in dict.fromkeys(holdouts)
    }
    study = _Study(runs, parts, {**options, "draws": 0})
    report = progress or silent
    results: dict[int, list[HeldOut]] = {}
    report("comparing", 0, len(chosen))
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = {pool.submit(study.of, law): i for i, law in enumerate(chosen)}
        try:
            for done in as_completed(waiting):
                results[waiting[done]] = done.result()
                report("comparing", len(results), len(chosen))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [one for i in range(len(chosen)) for one in results[i]]


def check_comparison(
    laws: str | Sequence[str | Law], holdouts: Sequence[str] = ("compute",), fraction: float = 0.2
) -> None:
    """Raise `M3Error` for what `compare` would refuse, before anything is fitted."""
    _chosen(laws)
    for holdout in holdouts:
        check_holdout(holdout, fraction)


def _chosen(laws: str | Sequence[str | Law]) -> list[Law]:
    names: list[str | Law] = [laws] if isinstance(laws, str) else list(laws)
    listed = [each for name in names for each in (list_laws() if name == "all" else (name,))]
    return list(dict.fromkeys(get_law(each) for each in listed))


class _Study:
    """All splits of a run table, stacked so that one fit of a law does them all."""

    def __init__(
        self, runs: RunTable, parts: Mapping[str, tuple[Split, ...]], options: Mapping[str, Any]
    ) -> None:
        self.runs, self.parts, self.options = runs, parts, options
        self.distance = {
            name: _first_known([extrapolation_distance(runs, split) for split in several], runs)
            for name, several in parts.items()
        }
        # A split of a language is fitted as a language of its own, called by its key.
        self.keys: dict[str, tuple[str, int, str]] = {}
        rows, labels = [], []
        for name, number, split in self._apart():
            for language in runs.languages:
                here = runs.language == language
                train = np.flatnonzero(here & split.fitted)
                if np.any(here & split.held) and np.any(runs.weight[train] > 0):
                    key = f"{len(self.keys)}"
                    self.keys[key] = name, number, language
                    rows.append(train)
                    labels.append(np.full(len(train), key, dtype=object))
        self.stacked = (
            _stack(runs, np.concatenate(rows), np.concatenate(labels)) if self.keys else None
        )

    def _apart(self) -> Iterator[tuple[str, int, Split]]:
        for name, several in self.parts.items():
            for number, split in enumerate(several):
                if not split.pooled:
                    yield name, number, split

    def of(self, law: Law) -> list[HeldOut]:
        """The results of one law, one a hold-out."""
        fits = None
        if self.stacked is not None:
            engine = "host" if len(self.keys) <= _FEW else "batch"
            fits = fit(self.stacked, law, engine=engine, **self.options)
        found = {name: _Gathered(len(self.runs)) for name in self.parts}
        for language in self.runs.languages:
            mine = [k for k, key in self.keys.items() if key[2] == language]
            self._predict(law, fits, mine, language, found)
        for name, several in self.parts.items():
            for split in several:
                if split.pooled:
                    self._pooled(law, split, found[name])
        return [self._gathered(law, name, found[name]) for name in self.parts]

    def _predict(
        self,
        law: Law,
        fits: Fits | None,
        mine: Sequence[str],
        language: str,
        found: Mapping[str, _Gathered],
    ) -> None:
        """Fill in what the fits of one language, under the keys `mine`, say."""
        if fits is None:
            return
        for key in mine:
            if key in fits.failed:
                found[self.keys[key][0]].messages[language] = fits.failed[key][1]
        good = [key for key in mine if key not in fits.failed]
        here = np.flatnonzero(self.runs.language == language)
        if not good:
            return
        recipe = _recipe_of(self.runs, here)
        losses = predict(law, fits.theta[[fits.index(key) for key in good]], recipe)
        for key, loss in zip(good, losses, strict=True):
            name, number, _ = self.keys[key]
            held = self.parts[name][number].held[here]
            found[name].add(fits, fits.index(key), language, here[held], loss[held])

    def _pooled(self, law: Law, split: Split, found: _Gathered) -> None:
        language = str(self.runs.language[split.held][0]) if split.held.any() else None
        if language is None:
            return
        fits = fit(self.runs.select(split.fitted), law, pool="partial", **self.options)
        if language in fits.failed:
            found.messages[language] = fits.failed[language][1]
            return
        held = np.flatnonzero(split.held)
        loss = fits.predict(_recipe_of(self.runs, held), language)
        found.add(fits, fits.index(language), language, held, loss)

    def _gathered(self, law: Law, name: str, found: _Gathered) -> HeldOut:
        held = np.zeros(len(self.runs), dtype=bool)
        for split in self.parts[name]:
            held |= split.held
        messages = dict(found.messages)
        for language in self.runs.languages:
            if language not in found.fitted and language not in messages:
                messages[language] = self._reason(name, language)
        fitted = {
            language: Fitted(*np.mean(several, axis=0).tolist())
            for language, several in found.fitted.items()
        }
        return HeldOut(law, name, held, found.predicted, self.distance[name], fitted, messages)

    def _reason(self, name: str, language: str) -> str:
        here = self.runs.language == language
        if name == "language" and not self.parts[name]:
            return "nothing to learn from: there is one language only"
        if any(np.any(split.held & here) for split in self.parts[name]):
            return (
                "nothing is left to fit: all runs are, or share a run_id with, the far end"
                " or have no weight"
            )
        if name in ("language", "folds"):
            return "nothing is held out: too few runs"
        return f"nothing is held out: {name} does not vary"


class _Gathered:
    """What the splits of a hold-out have said so far."""

    def __init__(self, count: int) -> None:
        self.predicted = np.full(count, np.nan)
        self.fitted: dict[str, list[Fitted]] = {}
        self.messages: dict[str, str] = {}

    def add(
        self, fits: Fits, i: int, language: str, rows: np.ndarray, predicted: np.ndarray
    ) -> None:
        self.predicted[rows] = predicted
        free = int((~fits.frozen[i]).sum())
        told = Fitted(int(fits.n_runs[i]), float(fits.objective[i]), free)
        self.fitted.setdefault(language, []).append(told)


def _recipe_of(runs: RunTable, rows: np.ndarray) -> Recipe:
    recipe: Recipe = jax.tree.map(lambda leaf: leaf[rows], runs.recipe)
    return recipe


def _stack(runs: RunTable, rows: np.ndarray, language: np.ndarray) -> RunTable:
    """Runs by row, some of them several times, under other language names."""
    return dataclasses.replace(
        runs,
        language=language,
        run_id=runs.run_id[rows],
        recipe=_recipe_of(runs, rows),
        loss=runs.loss[rows],
        weight=runs.weight[rows],
        seed=None if runs.seed is None else runs.seed[rows],
        row=runs.row[rows],
    )


def _first_known(several: Sequence[np.ndarray], runs: RunTable) -> np.ndarray:
    out = np.full(len(runs), np.nan)
    for values in several:
        out = np.where(np.isnan(out), values, out)
    return out
