"""The best fit of every language: many candidates, a few descents, one polished answer."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from ...laws import Law
from ._lanes import LANES_PER_ROW, best_candidates, fit_lanes, residuals_and_jacobian
from ._objective import FitData, dispersion

CANDIDATES_PER_START = (
    8  # for each start; cheap, for the amplitudes are solved for and not searched
)
# Iterations between which unfinished fits are packed together again, stage by stage.
_SCREEN, _TAKE_ON, _FOLLOW, _FINISH, _EXACT = (10,), (14, 14), (16, 16), (6, 10, 20, 64), (200,)
_SETTLED = 1e-5  # tolerance of what single precision leaves to double
_KEPT = 4
_FLOAT32_TOLERANCE = 1e-7  # single precision can tell no smaller gain


class BestFits(NamedTuple):
    """The best of many starts of L languages.

    Attributes:
        x: solver variables, (L, p).
        misfit: sum of Huber losses there, without the prior; infinite where no start gave a finite
            loss, (L,).
        prior_weight: what the prior was weighted by, (L,).
        converged: (L,) bool.
        agreement: share of the last few starts that ended within 0.1% of the best, (L,).
        residual: predicted minus measured log loss, (L, n).
        jacobian: of the log loss in x, (L, n, p).
    """

    x: np.ndarray
    misfit: np.ndarray
    prior_weight: np.ndarray
    converged: np.ndarray
    agreement: np.ndarray
    residual: np.ndarray
    jacobian: np.ndarray


def multi_start(
    law: Law,
    candidates: np.ndarray,
    data: FitData,
    delta: float,
    starts: int,
    precision: str,
    tolerance: float,
) -> BestFits:
    """Fit every language of `data` (leading axis L) from the best of its candidates (L, C, p).

    All starts get some steps in single precision without the prior. The misfit that they reach,
    a degree of freedom, is the weight of the prior. The best go on with the prior, and the best of
    those is finished in `precision`, to a relative gain of `tolerance`.
    """
    bare = dataclasses.replace(data, prior_weight=np.zeros(len(candidates)))
    begin = best_candidates(law, candidates, bare, delta, starts)
    x, value = _descend_all(law, begin, bare, delta, _SCREEN, 1e-3)
    if not np.any(data.prior_precision):
        return refine(law, _best_points(x, value), bare, delta, precision, tolerance)
    _, settled = _descend_all(law, _best_points(x, value), bare, delta, _TAKE_ON, 1e-4)
    lowest = settled.min(axis=1)
    prior_weight = np.where(np.isfinite(lowest), dispersion(lowest, data), 0.0)
    # Now that the prior's weight is known it counts, and one start is the prior's own mean: what
    # fits the runs best without the prior may lie in another valley.
    off = np.where(data.free[:, None], x - data.prior_mean[:, None], 0.0)
    value = value + prior_weight[:, None] * 0.5 * np.einsum(
        "lsi,lij,lsj->ls", off, data.prior_precision, off
    )
    mean = np.where(data.free, data.prior_mean, candidates[:, 0])[:, None]
    from_prior = best_candidates(law, mean, data, delta, 1)
    kept = np.concatenate([_best_points(x, value)[:, : _KEPT - 1], from_prior], axis=1)
    weighed = dataclasses.replace(data, prior_weight=prior_weight)
    return refine(law, kept, weighed, delta, precision, tolerance)


def refine(
    law: Law,
    starts: np.ndarray,
    data: FitData,
    delta: float,
    precision: str,
    tolerance: float,
) -> BestFits:
    """The best fits from a few good starts (L, K, p), with the prior of `data` and its weight."""
    # A single start is cheaper to follow to the end of single precision than to finish in double.
    rounds = _FOLLOW if starts.shape[1] == 1 else _TAKE_ON
    ends, value = _descend_all(law, starts, data, delta, rounds, max(tolerance, _SETTLED))
    x = ends[np.arange(len(starts)), np.argmin(value, axis=1)]
    agreement = np.mean(value <= 1.001 * value.min(axis=1, keepdims=True), axis=1)
    return _finish(law, x, data, delta, precision, tolerance)._replace(agreement=agreement)


def _finish(
    law: Law,
    x: np.ndarray,
    data: FitData,
    delta: float,
    precision: str,
    tolerance: float,
) -> BestFits:
    """Converge from points (L, p) that are close already."""
    end = fit_lanes(
        law,
        x,
        np.arange(len(x)),
        data,
        delta,
        rounds=_FINISH,
        tolerance=tolerance if precision == "float64" else max(tolerance, _FLOAT32_TOLERANCE),
        precision=precision,
        lanes=1,
    )
    converged = end.converged.copy()
    # Single precision cannot tell how near it is, and leaves weak exponents a percent off: there
    # Newton has the last word on every fit, a few steps in double, emulated where need be.
    uncertain = ~converged | (precision == "float32")
    rows = np.flatnonzero(uncertain & np.isfinite(end.value))
    if len(rows):
        exact = fit_lanes(
            law,
            end.x[rows],
            rows,
            data,
            delta,
            rounds=_EXACT,
            tolerance=tolerance,
            precision="float64",
            lanes=1,
            exact=True,
        )
        end.x[rows], converged[rows] = exact.x, exact.converged
    misfit, residual, jacobian = residuals_and_jacobian(law, end.x, data, delta)
    return BestFits(
        end.x,
        np.where(np.isfinite(end.value), misfit, np.inf),
        np.asarray(data.prior_weight),
        converged,
        np.ones(len(x)),
        residual,
        jacobian,
    )


def _descend_all(
    law: Law,
    starts: np.ndarray,
    data: FitData,
    delta: float,
    rounds: tuple[int, ...],
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the descents from starts (L, S, p) are after `rounds`, and the objective (L, S)."""
    count, many, p = starts.shape
    ends = fit_lanes(
        law,
        starts.reshape(-1, p),
        np.repeat(np.arange(count), many),
        data,
        delta,
        rounds=rounds,
        tolerance=tolerance,
        precision="float32",
        lanes=LANES_PER_ROW if many >= LANES_PER_ROW else 1,
    )
    return ends.x.reshape(starts.shape), ends.value.reshape(count, many)


def _best_points(x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The few best points of (L, S, p) by value (L, S)."""
    order = np.argsort(value, axis=1, kind="stable")[:, :_KEPT]
    return np.take_along_axis(x, order[..., None], axis=1)
