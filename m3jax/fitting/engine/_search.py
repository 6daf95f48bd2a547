"""The best fit of every language: many candidates, descents from some, one polished answer.

Losses of small tables have several valleys: that repeats wear out, and that source text counts as
text, can be told in more than one way. Descents from random points end in the widest valley, which
need not be the deepest. So descents also set out from the best end with one coefficient held
elsewhere, which is let go once the others have followed; where few ends agree there are more.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol

import numpy as np

from ..._batching import take_rows
from ...laws import Law, LogSpaceLaw
from ._objective import (
    FitData,
    FitResiduals,
    Resample,
    dispersion,
    negative_log_prior,
    spare_runs,
)
from ._step import Solution

CANDIDATES_PER_START = (
    8  # for each start; cheap, for the amplitudes are solved for and not searched
)
RIVALS = 3  # valleys that are told of each language, the best included
# Iterations between which unfinished fits are packed together again, stage by stage.
_SCREEN, _FOLLOW, _HELD = (10,), (10, 8, 8, 16, 32), (12,)
_SCREENED, _FOLLOWED = 1e-3, 1e-4  # relative gains at which these descents stop
_KEPT = 4  # of the screened starts
_ALIKE = 1e-3  # relative difference in the objective within which two ends are one
_ENOUGH = 3  # ends that agree on the best
_ROUNDS = 4  # of jumps, all but the first of languages whose ends do not agree
_WEIGHINGS, _WEIGHED = 6, 1e-4  # of the prior at the end: how often, and to what relative change
_NOTHING = 1e-10  # a misfit that single precision cannot tell from none
_FAR = 10.0  # negative log posterior density above the best, at which a valley is no rival


class BestFits(NamedTuple):
    """The best of many starts of L languages.

    Attributes:
        x: solver variables, (L, p).
        misfit: sum of Huber losses there, without the prior; infinite where no start gave a finite
            loss, (L,).
        prior_weight: what the prior was weighted by, (L,).
        converged: (L,) bool.
        agreement: share of the descents followed to their end that ended within 0.1% of the best
            objective, (L,). Below one there are other valleys.
        delta: of the Huber loss, (L,).
        residual: predicted minus measured log loss, (L, n).
        jacobian: of the log loss in x, (L, n, p).
        rivals: x at the bottom of the best valleys, the best first, (L, RIVALS, p). The best is
            repeated where there are fewer that the runs leave possible.
    """

    x: np.ndarray
    misfit: np.ndarray
    prior_weight: np.ndarray
    converged: np.ndarray
    agreement: np.ndarray
    delta: np.ndarray
    residual: np.ndarray
    jacobian: np.ndarray
    rivals: np.ndarray


class Descents(Protocol):
    """Descents of fits of one law, compiled or made from Python."""

    @property
    def law(self) -> Law:
        """The law."""

    def rank(self, candidates: np.ndarray, data: FitData, count: int) -> np.ndarray:
        """Of candidates (L, C, p), their amplitudes fitted, the `count` best, best first."""

    def descend(
        self,
        starts: np.ndarray,
        data: FitData,
        rounds: tuple[int, ...],
        tolerance: float,
        *,
        held: np.ndarray | None = None,
        resampled: Resample | None = None,
    ) -> Solution:
        """Where descents from starts (L, S, p) are in the end, leaves (L, S, ...).

        `rounds` are iterations; a descent that gains less than `tolerance` of the objective stops.
        Coefficients that are `held`, (L, S, p) bool, stay where they are. Each descent has runs of
        its own where they are `resampled`, leaves (L, S, ...).
        """

    def residuals_and_jacobian(self, x: np.ndarray, data: FitData) -> FitResiduals:
        """Misfit (L,), residuals (L, n) and Jacobian (L, n, p) at x (L, p)."""

    def finish(self, x: np.ndarray, data: FitData) -> BestFits:
        """Converge from points (L, p) that are close already."""


class _Ends(NamedTuple):
    """Where descents of L languages ended: x (L, S, p), misfit and negative log prior (L, S)."""

    x: np.ndarray
    misfit: np.ndarray
    penalty: np.ndarray

    def score(self, data: FitData) -> np.ndarray:
        """Negative log posterior density with the scale of the misfit profiled out, (L, S).

        Where it is least the objective is least under the weight that the prior has there, the
        misfit a degree of freedom; so ends found under different weights can be compared.
        """
        return spare_runs(data)[:, None] * np.log(self.misfit + _NOTHING) + self.penalty

    def take(self, places: np.ndarray) -> _Ends:
        """Some ends of each language, places (L, K)."""
        return _Ends(
            np.take_along_axis(self.x, places[..., None], axis=1),
            np.take_along_axis(self.misfit, places, axis=1),
            np.take_along_axis(self.penalty, places, axis=1),
        )

    def joined(self, other: _Ends, rows: np.ndarray) -> _Ends:
        """With the ends of some languages, `rows`, beside these; others get none."""
        shape = self.misfit.shape[0], other.misfit.shape[1]
        more = _Ends(np.zeros((*shape, self.x.shape[2])), np.full(shape, np.inf), np.zeros(shape))
        for leaf, new in zip(more, other, strict=True):
            leaf[rows] = new
        return _Ends(*(np.concatenate(pair, axis=1) for pair in zip(self, more, strict=True)))


def multi_start(descents: Descents, candidates: np.ndarray, data: FitData, starts: int) -> BestFits:
    """Fit every language of `data` (leading axis L) from the best of its candidates (L, C, p).

    All starts get some steps without the prior. The best of them and the prior's own mean, which
    may lie in another valley, are followed with the prior; then come the jumps. The prior's weight
    is the misfit a degree of freedom: of the best end so far, and at last of the fit itself.
    """
    count = len(candidates)
    bare = dataclasses.replace(data, prior_weight=np.zeros(count))
    has_prior = bool(np.any(data.prior_precision))
    begin = descents.rank(candidates, bare, 2 * starts)
    screened = _descend(descents, begin[:, :starts], bare, _SCREEN, _SCREENED)
    kept = screened.take(_order(screened, data)[:, :_KEPT]).x
    if has_prior:
        mean = np.where(data.free, data.prior_mean, candidates[:, 0])[:, None]
        kept = np.concatenate([kept, descents.rank(mean, bare, 1)], axis=1)
        data = _weighed(data, screened)
    ends = _descend(descents, kept, data, _FOLLOW, _FOLLOWED)
    if starts > 1:
        ends = _with_jumps(descents, ends, data, begin[:, _KEPT:])
    places = _valleys(ends, data)
    ended = np.isfinite(ends.misfit).sum(axis=1)
    agreement = _is_best(ends, data).sum(axis=1, where=np.isfinite(ends.misfit)) / np.maximum(
        ended, 1
    )
    best, second = _best_of_rivals(descents, ends.take(places), data)
    places[second, :2] = places[second, 1::-1]
    again = (places == places[:, :1])[..., None]  # where there are fewer valleys
    rivals = np.where(again, best.x[:, None], ends.take(places).x)
    return best._replace(agreement=agreement, rivals=rivals)


def refine(descents: Descents, starts: np.ndarray, data: FitData) -> BestFits:
    """The best fits from a few good starts (L, K, p), with the prior of `data` and its weight."""
    x, value, _, _ = descents.descend(starts, data, _FOLLOW, _FOLLOWED)
    best = x[np.arange(len(x)), np.argmin(value, axis=1)]
    agreement = np.mean(value <= (1 + _ALIKE) * value.min(axis=1, keepdims=True), axis=1)
    return descents.finish(best, data)._replace(agreement=agreement)


def _descend(
    descents: Descents,
    starts: np.ndarray,
    data: FitData,
    rounds: tuple[int, ...],
    tolerance: float,
) -> _Ends:
    """Ends of descents from starts (L, S, p)."""
    x, value, _, _ = descents.descend(starts, data, rounds, tolerance)
    beside = take_rows(data, (slice(None), None))
    penalty = negative_log_prior(np.where(beside.free, x, beside.prior_mean), beside, np)
    misfit = value - np.asarray(data.prior_weight)[:, None] * penalty
    return _Ends(x, np.where(np.isfinite(value), np.maximum(misfit, 0.0), np.inf), penalty)


def _order(ends: _Ends, data: FitData) -> np.ndarray:
    return np.argsort(ends.score(data), axis=1, kind="stable")


def _weighed(data: FitData, ends: _Ends) -> FitData:
    """With the prior weighed by the misfit of the best end."""
    best = ends.take(_order(ends, data)[:, :1]).misfit[:, 0]
    weight = np.where(np.isfinite(best), dispersion(best, data), 0.0)
    return dataclasses.replace(data, prior_weight=weight)


def _tolerance(ends: _Ends, data: FitData) -> np.ndarray:
    """Differences in score, (L,), that are `_ALIKE` of the objective at the best end."""
    best = ends.take(_order(ends, data)[:, :1])
    return _ALIKE * (spare_runs(data) + best.penalty[:, 0])


def _is_best(ends: _Ends, data: FitData) -> np.ndarray:
    """Which ends (L, S) are the best one."""
    score = ends.score(data)
    least = score.min(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(score <= (least + _tolerance(ends, data))[:, None])


def _with_jumps(descents: Descents, ends: _Ends, data: FitData, fresh: np.ndarray) -> _Ends:
    """Also the ends of jumps from the best end, until enough ends agree on the best.

    The first round holds the law's shape coefficients at the ends of their starting ranges and
    where they have no effect. The others, for languages where a jump has found better or few ends
    agree, hold every coefficient in turn, and descend from some of the `fresh` candidates
    (L, F, p) besides.
    """
    index = {name: i for i, name in enumerate(descents.law.names)}
    shapes = [index[name] for name in _shape_coefficients(descents.law)]
    terms = descents.law.terms if isinstance(descents.law, LogSpaceLaw) else {}
    everything = [i for name, i in index.items() if name not in terms]  # amplitudes follow the rest
    places = *descents.law.theta_start(), descents.law.theta_neutral()
    left = np.arange(len(ends.misfit))
    share = fresh.shape[1] // max(_ROUNDS - 1, 1)
    for number in range(_ROUNDS):
        which = shapes if number == 0 else everything
        if not len(left):
            break
        some = take_rows(_weighed(data, ends) if np.any(data.prior_precision) else data, left)
        of_some = _Ends(*(leaf[left] for leaf in ends))
        best = of_some.take(_order(of_some, some)[:, :1])
        before = best.score(some)[:, 0] - _tolerance(of_some, some)
        jumps = [(i, place[i]) for i in which if some.free[:, i].any() for place in places]
        starts = np.repeat(best.x, len(jumps), axis=1)
        held = np.zeros(starts.shape, dtype=bool)
        for j, (i, value) in enumerate(jumps):
            starts[:, j, i], held[:, j, i] = value, True
        # Where that coefficient may not move there is no jump, and its end is evidence of nothing.
        away = (held & some.free[:, None]).any(axis=2)
        if jumps:
            starts = np.where(some.free[:, None], starts, best.x)
            starts = descents.descend(starts, some, _HELD, _FOLLOWED, held=held).x
        if number:
            more = fresh[left, (number - 1) * share : number * share]
            starts = np.concatenate([starts, more], axis=1)
            away = np.concatenate([away, np.ones(more.shape[:2], dtype=bool)], axis=1)
        if starts.shape[1]:
            new = _descend(descents, starts, some, _FOLLOW, _FOLLOWED)
            new = new._replace(misfit=np.where(away, new.misfit, np.inf))
            ends = ends.joined(new, left)
        of_some = _Ends(*(leaf[left] for leaf in ends))
        found_better = of_some.score(some).min(axis=1) < before
        few = _is_best(of_some, some).sum(axis=1) < _ENOUGH
        left = left[found_better | few]
    return ends


def _shape_coefficients(law: Law) -> list[str]:
    """Coefficients of a law that are neither amplitudes nor exponents of its terms."""
    if not isinstance(law, LogSpaceLaw):
        return []
    plain = {*law.terms, *(exponent for powers in law.terms.values() for exponent in powers)}
    return [name for name in law.names if name not in plain]


def _valleys(ends: _Ends, data: FitData) -> np.ndarray:
    """Places of the best end of each valley, the best valleys first, (L, RIVALS).

    The first again where there are fewer, or others too high for the runs to leave them possible.
    """
    score, order = ends.score(data), _order(ends, data)
    tolerance = _tolerance(ends, data)
    places = np.repeat(order[:, :1], RIVALS, axis=1)
    found = np.ones(len(order), dtype=np.int64)
    last = np.take_along_axis(score, order[:, :1], axis=1)[:, 0]
    highest = last + _FAR
    rows = np.arange(len(order))
    for place in order.T:
        at = score[rows, place]
        with np.errstate(invalid="ignore"):
            new = (at > last + tolerance) & (at <= highest) & (found < RIVALS)
        places[rows[new], found[new]] = place[new]
        found += new
        last = np.where(new, at, last)
    return places


def _best_of_rivals(
    descents: Descents, rivals: _Ends, data: FitData
) -> tuple[BestFits, np.ndarray]:
    """The best fits, from the best valleys, and which languages' is in the second, (L,) bool.

    That one is finished too where it comes close.
    """
    best = _finished(descents, rivals.x[:, 0], data)
    score, second = rivals.score(data), np.zeros(len(rivals.misfit), dtype=bool)
    with np.errstate(invalid="ignore"):
        close = score[:, 1] - score[:, 0] < 5 * _tolerance(rivals, data)
    rows = np.flatnonzero(close & (rivals.x[:, 1] != rivals.x[:, 0]).any(axis=1))
    if len(rows):
        some = take_rows(data, rows)
        others = _finished(descents, rivals.x[rows, 1], some)
        less = _score_of(others, some) < _score_of(BestFits(*(leaf[rows] for leaf in best)), some)
        for old, new in zip(best, others, strict=True):
            old[rows[less]] = new[less]
        second[rows[less]] = True
    return best, second


def _score_of(fits: BestFits, data: FitData) -> np.ndarray:
    """The score of finished fits, (L,)."""
    x = np.where(data.free, fits.x, data.prior_mean)
    ends = _Ends(fits.x[:, None], fits.misfit[:, None], negative_log_prior(x, data, np)[:, None])
    return ends.score(data)[:, 0]


def _finished(descents: Descents, x: np.ndarray, data: FitData) -> BestFits:
    """Converge from points (L, p), the prior weighed by the misfit of the fit itself."""
    if not np.any(data.prior_precision):
        return descents.finish(x, data)
    best = BestFits(*(np.array(leaf) for leaf in descents.finish(x, data)))
    left = np.arange(len(x))
    for _ in range(_WEIGHINGS):
        some = take_rows(data, left)
        weight = dispersion(best.misfit[left], some)
        with np.errstate(invalid="ignore"):
            moved = np.abs(weight - best.prior_weight[left]) > _WEIGHED * weight
        left = left[moved & np.isfinite(weight)]
        if not len(left):
            break
        some = take_rows(data, left)
        some = dataclasses.replace(some, prior_weight=dispersion(best.misfit[left], some))
        for old, new in zip(best, descents.finish(best.x[left], some), strict=True):
            old[left] = new
    return best
