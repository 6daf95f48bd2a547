"""Fit every law without the held-out runs, and predict them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import jax
import numpy as np

from .._progress import Progress, silent
from ..fitting import Fits, fit, predict
from ..laws import Law, get_law, list_laws
from ..options import CompareOptions, FitOptions, takes
from ..recipe import Recipe
from ..runs import RunTable
from ._held_out import FittedTo, HeldOut
from ._holdouts import Split, check_holdout, extrapolation_distance, splits
from ._scores import Scores, score

_THREADS = 2  # laws at a time: while one compiles the other fits


@takes(CompareOptions)
def compare(
    runs: RunTable | Any,
    laws: str | Sequence[str | Law] = "all",
    *,
    options: CompareOptions,
    progress: Progress | None = None,
) -> Scores:
    """Fit every law without the held-out runs and score it on them.

    Args:
        runs: the run table; runs of weight 0 are not scored.
        laws: "all", or laws and their names.
        options: the fields of `CompareOptions`, each a keyword.
        progress: called as `progress(stage, done, total)`.

    One score for each law, hold-out and language, in that order of nesting. Where a law cannot be
    fitted or nothing is held out, the score says so. Raises `M3Error` on unknown laws or hold-outs.
    """
    runs = RunTable.of(runs)
    held_out = predict_held_out(runs, laws, options=options, progress=progress)
    return Scores(score(runs, held_out, huber_delta=options.huber_delta, seed=options.seed))


@takes(CompareOptions)
def predict_held_out(
    runs: RunTable | Any,
    laws: str | Sequence[str | Law] = "all",
    *,
    options: CompareOptions,
    progress: Progress | None = None,
) -> list[HeldOut]:
    """What each law, fitted without the held-out runs, predicts for them: what `score` scores.

    Args:
        runs: the run table.
        laws: "all", or laws and their names.
        options: the fields of `CompareOptions`, each a keyword.
        progress: called as `progress(stage, done, total)`.

    One result for each law and hold-out, in that order of nesting. All hold-outs and languages of a
    law are fitted in one batch. Raises as `compare` does.
    """
    chosen, runs = _chosen(laws), RunTable.of(runs)
    splits_of = {
        name: splits(runs, name, fraction=options.fraction, seed=options.seed)
        for name in dict.fromkeys(options.holdouts)
    }
    fit_options = FitOptions(
        huber_delta=options.huber_delta,
        starts=options.starts,
        prior=options.prior,
        seed=options.seed,
        draws=0,
    )
    study = _HoldoutStudy(runs, splits_of, fit_options)
    report = progress or silent
    results: dict[int, list[HeldOut]] = {}
    report("comparing", 0, len(chosen))
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = {pool.submit(study.predict, law): i for i, law in enumerate(chosen)}
        try:
            for done in as_completed(waiting):
                results[waiting[done]] = done.result()
                report("comparing", len(results), len(chosen))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [held_out for i in range(len(chosen)) for held_out in results[i]]


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


class _HoldoutStudy:
    """All splits of a run table, stacked so that one fit of a law does them all."""

    def __init__(
        self, runs: RunTable, splits_of: Mapping[str, tuple[Split, ...]], options: FitOptions
    ) -> None:
        self.runs, self.splits_of, self.options = runs, splits_of, options
        self.distance = {
            name: _first_known([extrapolation_distance(runs, split) for split in of_holdout], runs)
            for name, of_holdout in splits_of.items()
        }
        # A split of a language is fitted as a language of its own, called by its key.
        self.keys: dict[str, tuple[str, int, str]] = {}
        rows, labels = [], []
        for name, number, split in self._separate_splits():
            for language in runs.languages:
                here = runs.language == language
                train = np.flatnonzero(here & split.fitted)
                if np.any(here & split.held) and np.any(runs.weight[train] > 0):
                    key = f"{len(self.keys)}"
                    self.keys[key] = name, number, language
                    rows.append(train)
                    labels.append(np.full(len(train), key, dtype=object))
        self.stacked = (
            runs.take(np.concatenate(rows), language=np.concatenate(labels)) if self.keys else None
        )

    def _separate_splits(self) -> Iterator[tuple[str, int, Split]]:
        """Hold-out, number and split of those whose languages are fitted each by itself."""
        for name, of_holdout in self.splits_of.items():
            for number, split in enumerate(of_holdout):
                if not split.pooled:
                    yield name, number, split

    def predict(self, law: Law) -> list[HeldOut]:
        """The results of one law, one a hold-out."""
        fits = None
        if self.stacked is not None:
            fits = fit(self.stacked, law, options=self.options)
        predictions = {name: _Predictions(len(self.runs)) for name in self.splits_of}
        for language in self.runs.languages:
            keys = [key for key, (_, _, of) in self.keys.items() if of == language]
            if fits is not None:
                self._add_separate(law, fits, keys, language, predictions)
        for name, of_holdout in self.splits_of.items():
            for split in of_holdout:
                if split.pooled:
                    self._add_pooled(law, split, predictions[name])
        return [self._held_out(law, name, predictions[name]) for name in self.splits_of]

    def _add_separate(
        self,
        law: Law,
        fits: Fits,
        keys: Sequence[str],
        language: str,
        predictions: Mapping[str, _Predictions],
    ) -> None:
        """Add what the fits of one language, under its keys, predict."""
        for key in keys:
            if key in fits.failed:
                predictions[self.keys[key][0]].messages[language] = fits.failed[key][1]
        fitted = [key for key in keys if key not in fits.failed]
        here = np.flatnonzero(self.runs.language == language)
        if not fitted:
            return
        recipe = _recipe_of(self.runs, here)
        losses = predict(law, fits.theta[[fits.index(key) for key in fitted]], recipe)
        for key, loss in zip(fitted, losses, strict=True):
            name, number, _ = self.keys[key]
            held = self.splits_of[name][number].held[here]
            predictions[name].add(fits, fits.index(key), language, here[held], loss[held])

    def _add_pooled(self, law: Law, split: Split, predictions: _Predictions) -> None:
        """Add what a fit of all languages predicts for the one that is held out."""
        language = str(self.runs.language[split.held][0]) if split.held.any() else None
        if language is None:
            return
        options = dataclasses.replace(self.options, pool="partial")
        fits = fit(self.runs.select(split.fitted), law, options=options)
        if language in fits.failed:
            predictions.messages[language] = fits.failed[language][1]
            return
        held = np.flatnonzero(split.held)
        loss = fits.predict(_recipe_of(self.runs, held), language)
        predictions.add(fits, fits.index(language), language, held, loss)

    def _held_out(self, law: Law, name: str, predictions: _Predictions) -> HeldOut:
        held = np.zeros(len(self.runs), dtype=bool)
        for split in self.splits_of[name]:
            held |= split.held
        messages = dict(predictions.messages)
        for language in self.runs.languages:
            if language not in predictions.fitted and language not in messages:
                messages[language] = self._why_nothing(name, language)
        fitted = {
            language: FittedTo(*np.mean(fits, axis=0).tolist())
            for language, fits in predictions.fitted.items()
        }
        return HeldOut(law, name, held, predictions.loss, self.distance[name], fitted, messages)

    def _why_nothing(self, name: str, language: str) -> str:
        """Why a hold-out has no prediction of a language, in words."""
        here = self.runs.language == language
        if name == "language" and not self.splits_of[name]:
            return "nothing to learn from: there is one language only"
        if any(np.any(split.held & here) for split in self.splits_of[name]):
            return (
                "nothing is left to fit: all runs are, or share a run_id with, the far end"
                " or have no weight"
            )
        if name in ("language", "folds"):
            return "nothing is held out: too few runs"
        return f"nothing is held out: {name} does not vary"


class _Predictions:
    """What the splits of a hold-out have predicted so far."""

    def __init__(self, count: int) -> None:
        self.loss = np.full(count, np.nan)
        self.fitted: dict[str, list[FittedTo]] = {}
        self.messages: dict[str, str] = {}

    def add(
        self, fits: Fits, index: int, language: str, rows: np.ndarray, loss: np.ndarray
    ) -> None:
        """Losses (m,) that the fit of a language predicts for rows (m,) of the table."""
        self.loss[rows] = loss
        free = int((~fits.frozen[index]).sum())
        fitted = FittedTo(
            int(fits.n_runs[index]),
            float(fits.objective[index]),
            free,
            float(fits.huber_delta[index]),
        )
        self.fitted.setdefault(language, []).append(fitted)


def _recipe_of(runs: RunTable, rows: np.ndarray) -> Recipe:
    recipe: Recipe = jax.tree.map(lambda leaf: leaf[rows], runs.recipe)
    return recipe


def _first_known(arrays: Sequence[np.ndarray], runs: RunTable) -> np.ndarray:
    out = np.full(len(runs), np.nan)
    for values in arrays:
        out = np.where(np.isnan(out), values, out)
    return out
