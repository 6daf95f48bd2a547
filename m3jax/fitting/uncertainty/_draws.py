"""The bootstrap draws of a fit: the same fits to runs drawn anew, from the best fit on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._batching import take_rows
from ..._progress import Progress
from ...laws import Law
from ..engine import BestFits, FitData
from ..pooling import Priors
from ..problem import FitProblem, ParameterSpace
from ._bootstrap import Source, bootstrap, cluster_table, key_of, weight_power
from ._covariance import Linearised


def draws_of(
    law: Law,
    problem: FitProblem,
    space: ParameterSpace,
    found: BestFits,
    data: FitData,
    factor: np.ndarray,
    settings: Mapping[str, Any],
    report: Progress,
    priors: Priors | None = None,
) -> np.ndarray:
    """Bootstrap draws of theta, (L, draws, p).

    `data` is what the best fits `found` were made with, `factor` (L, p, p) that of its prior's
    covariance, and `priors` where the prior comes from, if not the weak one.
    """
    count, p = problem.free.shape
    if not count or not settings["draws"]:
        return np.empty((count, settings["draws"], p))
    x = np.where(problem.free, found.x, space.to_x(problem.held))
    starts = x[:, None]
    if priors is not None and priors.shared.any():
        rng = np.random.default_rng([settings["seed"], 4])
        # The same in all languages, for they share these values.
        starts = starts + rng.standard_normal((settings["draws"], p)) @ priors.shared_factor.T
        starts = np.clip(starts, space.lower[:, None], space.upper[:, None])
    used = problem.weight > 0
    table = cluster_table(problem.cluster, problem.weight)
    residual = -found.residual
    if settings["bootstrap"] == "residual":
        residual = _deleted(law, problem, found, space, data, settings)
    source = Source(
        key=np.array([key_of(settings["seed"], name) for name in problem.languages]),
        cluster=problem.cluster,
        weight=problem.weight,
        log_loss=problem.log_loss,
        fitted=problem.log_loss + found.residual,
        residual=residual,
        power=weight_power(
            np.count_nonzero(table["size"], axis=1), used.sum(axis=1), problem.free.sum(axis=1)
        ),
        prior_mean=data.prior_mean,
        prior_factor=factor,
        prior_freedom=np.full((count, p), np.inf if priors is None else priors.freedom),
        **table,
    )
    drawn = bootstrap(
        law,
        starts,
        data,
        source,
        settings["huber_delta"],
        settings["draws"],
        kind=settings["bootstrap"],
        report=report,
    )
    return np.einsum("lij,lbj->lbi", space.centre, drawn)


def _deleted(
    law: Law,
    problem: FitProblem,
    found: BestFits,
    space: ParameterSpace,
    data: FitData,
    settings: Mapping[str, Any],
) -> np.ndarray:
    """How far each run's log loss lies above the fit to the other clusters, (L, n)."""
    out = np.zeros_like(problem.log_loss)
    for i in range(len(problem.languages)):
        used = problem.weight[i] > 0
        one = Linearised(
            law=law,
            recipe=take_rows(problem.recipe, (i, used)),
            place=np.flatnonzero(used),
            log_loss=problem.log_loss[i, used],
            residual=found.residual[i, used],
            jacobian=found.jacobian[i, used] * problem.free[i],
            weight=problem.weight[i, used],
            cluster=problem.cluster[i, used],
            theta=space.centre[i] @ found.x[i],
            free=problem.free[i],
            space=space.take(i),
            delta=settings["huber_delta"],
            prior_mean=data.prior_mean[i],
            prior_precision=data.prior_precision[i],
            prior_weight=float(data.prior_weight[i]),
        )
        out[i, used] = -one.deleted
    return out
