"""From fits and limits to questions: one for each language, budget and corpus size."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..._errors import M3Error
from ...fitting import Fits
from ...options import Limits, names_in
from ...recipe import REGIMES
from ...variables import DECISION_VARIABLES
from ..solvers import Question
from ._questions import Questions
from ._ranges import AllowedRanges, allowed_ranges

_SECONDS = 3600.0  # per hour


def ask(
    fits: Fits,
    limits: Limits,
    *,
    compute: npt.ArrayLike,
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    languages: str | Sequence[str] | None = None,
) -> Questions:
    """Questions about L languages × C budgets × T corpus sizes.

    Args:
        fits: fitted laws.
        limits: what every recipe must keep to. Its `source_fits` are read if it has their path.
        compute: FLOP, a number or (C,).
        target_tokens: unique target tokens, a number, (T,), or language -> either.
        languages: which of the fitted languages; default all.

    Raises `M3Error` on numbers that are not positive, unknown languages, and bounds out of reach of
    the runs.
    """
    names = fits.languages if languages is None else names_in(languages)
    fits.require_any()
    if not names:
        raise M3Error("languages: expected at least one")
    rows = np.array([fits.index(name) for name in names])
    budgets = positive_numbers("compute", compute)
    sizes = _sizes(target_tokens, names)
    scopes = tuple(fits.grounds[i] for i in rows)
    allowed = tuple(
        allowed_ranges(name, fits.law, scope, limits)
        for name, scope in zip(names, scopes, strict=True)
    )
    shape = len(names), len(budgets), sizes.shape[1]
    i, j, t = (axis.ravel() for axis in np.indices(shape))
    offered = np.array([[r in ranges.regimes for ranges in allowed] for r in range(len(REGIMES))])
    questions = Questions(
        law=fits.law,
        languages=names,
        spread=fits.spread.take(rows),
        scopes=scopes,
        grounds=tuple(fits.ground_notes(i) for i in rows),
        allowed=allowed,
        limits=_with_source(limits, names),
        shape=shape,
        language=i,
        theta=fits.theta[rows[i]],
        at_hand=sizes[i, t],
        values=_values(allowed, limits, i, budgets[j]),
        offered=offered[:, i],
    )
    return questions.with_text(sizes[i, t])


def positive_numbers(name: str, value: npt.ArrayLike) -> np.ndarray:
    """One or more positive finite numbers as (n,) float64. Raises `M3Error`."""
    try:
        array = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise M3Error(f"{name}: expected positive finite numbers, got {value!r}") from error
    if array.ndim != 1 or not array.size or not np.all(np.isfinite(array) & (array > 0)):
        raise M3Error(f"{name}: expected positive finite numbers, got {value!r}")
    return array


def _sizes(
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike], names: Sequence[str]
) -> np.ndarray:
    """Corpus sizes, (L, T)."""
    if not isinstance(target_tokens, Mapping):
        return np.tile(positive_numbers("target_tokens", target_tokens), (len(names), 1))
    missing = [name for name in names if name not in target_tokens]
    if missing:
        raise M3Error(f"target_tokens: no entry for language {missing[0]!r}")
    rows = [positive_numbers(f"target_tokens of {name!r}", target_tokens[name]) for name in names]
    if len({len(row) for row in rows}) > 1:
        raise M3Error("target_tokens: expected as many sizes for every language")
    return np.stack(rows)


def _with_source(limits: Limits, names: Sequence[str]) -> Limits:
    """The limits with the fits to losses on source text read, and all languages in them."""
    source = limits.source_fits
    if source is None:
        return limits
    if not isinstance(source, Fits):
        source = Fits.load(source)
        limits = dataclasses.replace(limits, source_fits=source)
    missing = [name for name in names if name not in source.languages]
    if missing:
        raise M3Error(f"source_fits: no fit for language {missing[0]!r}")
    return limits


def _values(
    allowed: Sequence[AllowedRanges],
    limits: Limits,
    language: np.ndarray,
    compute: np.ndarray,
) -> Question:
    """Budgets, bounds and caps of P questions, in the solver's units; corpora are still to come."""

    def by_language(values: Sequence[float]) -> np.ndarray:
        return np.array(values, dtype=np.float64)[language]

    def common(value: float | None, absent: float = np.inf) -> np.ndarray:
        return np.full(len(language), absent if value is None else value)

    source = limits.max_source_tokens
    hours = limits.max_gpu_hours
    low, high = (
        np.stack(
            [
                by_language([getattr(a.ranges[name], side) for a in allowed])
                for name in DECISION_VARIABLES
            ]
        )
        for side in ("low", "high")
    )
    return Question(
        compute=compute,
        target_tokens=np.ones(len(language)),
        low=low,
        high=high,
        stage_low=by_language([a.ranges["stage_fraction"].low for a in allowed]),
        stage_high=by_language([a.ranges["stage_fraction"].high for a in allowed]),
        first_share=by_language([a.first_share for a in allowed]),
        first_ratio=common(limits.min_first_ratio, 0.0),
        total_tokens=by_language([a.ranges["total_tokens"].high for a in allowed]),
        source_tokens=common(source and source * limits.max_source_epochs),
        inference_tokens=common(limits.inference_tokens, 0.0),
        gpu_flops=common(hours and hours * _SECONDS * (limits.flops_per_second or 0.0)),
    )
