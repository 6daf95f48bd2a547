"""The bootstrap draws of a fit: the same fits to runs drawn anew, from the best fit on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._batching import take_rows
from ..._progress import Progress
from ..engine import BestFits, Descents, FitData
from ..pooling import Priors
from ..problem import FitProblem, ParameterSpace
from ._bootstrap import BootstrapSource, bootstrap, cluster_table, language_seed, weight_power
from ._linearised import Linearised


@dataclasses.dataclass(frozen=True)
class FittedProblem:
    """The languages of a fit and their best fits, L of them.

    Attributes:
        descents: of the law.
        problem: the languages.
        space: what the solver's variables are.
        best_fits: of each language.
        data: what the best fits were made with.
        settings: as in `Fits.settings`.
    """

    descents: Descents
    problem: FitProblem
    space: ParameterSpace
    best_fits: BestFits
    data: FitData
    settings: Mapping[str, Any]

    def linearised(self, i: int) -> Linearised:
        """The best fit of one language to first order."""
        problem, used = self.problem, self.problem.weight[i] > 0
        return Linearised(
            law=self.descents.law,
            recipe=take_rows(problem.recipe, (i, used)),
            position=np.flatnonzero(used),
            log_loss=problem.log_loss[i, used],
            residual=self.best_fits.residual[i, used],
            jacobian=self.best_fits.jacobian[i, used] * problem.free[i],
            weight=problem.weight[i, used],
            cluster=problem.cluster[i, used],
            theta=self.space.centre[i] @ self.best_fits.x[i],
            free=problem.free[i],
            space=self.space.take(i),
            delta=float(self.data.delta[i]),
            prior_mean=self.data.prior_mean[i],
            prior_precision=self.data.prior_precision[i],
            prior_weight=float(self.data.prior_weight[i]),
        )

    def measured_above_fit(self) -> np.ndarray:
        """Deleted residuals, (L, n): log loss of a run above the fit to the other clusters."""
        out = np.zeros_like(self.problem.log_loss)
        for i, used in enumerate(self.problem.weight > 0):
            out[i, used] = -self.linearised(i).deleted_residual
        return out


def bootstrap_draws(
    fitted: FittedProblem,
    prior_factor: np.ndarray,
    report: Progress,
    priors: Priors | None = None,
    widening: np.ndarray | None = None,
) -> np.ndarray:
    """Bootstrap draws of theta, (L, draws, p).

    Each is the fit's own objective minimised anew, for runs that `resample` has reweighted or
    given other losses. What the fits of all languages share is drawn from its normal posterior.

    Args:
        fitted: the fits.
        prior_factor: F with F @ F.T the covariance of each language's prior, (L, p, p).
        report: progress.
        priors: where the prior comes from, if not the weak one.
        widening: how many times wider than by resampling alone each draw lies, (L, draws).
    """
    problem, space, settings = fitted.problem, fitted.space, fitted.settings
    count, p = problem.free.shape
    if not count or not settings["draws"]:
        return np.empty((count, settings["draws"], p))
    x = np.where(problem.free, fitted.best_fits.x, space.to_x(problem.held))
    starts = x[:, None]
    if priors is not None and priors.shared.any():
        rng = np.random.default_rng([settings["seed"], 4])
        # The same in all languages, for they share these values.
        starts = starts + rng.standard_normal((settings["draws"], p)) @ priors.shared_factor.T
        starts = np.clip(starts, space.lower[:, None], space.upper[:, None])
    used = problem.weight > 0
    if widening is None:
        widening = np.ones((count, settings["draws"]))
    table = cluster_table(problem.cluster, problem.weight)
    residual = -fitted.best_fits.residual
    if settings["bootstrap"] == "residual":
        residual = fitted.measured_above_fit()
    source = BootstrapSource(
        seed=np.array([language_seed(settings["seed"], name) for name in problem.languages]),
        cluster=problem.cluster,
        weight=problem.weight,
        log_loss=problem.log_loss,
        fitted=problem.log_loss + fitted.best_fits.residual,
        residual=residual,
        power=weight_power(
            np.count_nonzero(table["size"], axis=1),
            used.sum(axis=1),
            problem.free.sum(axis=1),
            widening,
        ),
        widening=widening,
        prior_mean=fitted.data.prior_mean,
        prior_factor=prior_factor,
        prior_freedom=np.full((count, p), np.inf if priors is None else priors.freedom),
        **table,
    )
    draws = bootstrap(
        fitted.descents,
        starts,
        fitted.best_fits.rivals,
        fitted.data,
        source,
        settings["draws"],
        kind=settings["bootstrap"],
        report=report,
    )
    return np.einsum("lij,lbj->lbi", space.centre, draws)
