"""What a fit decides for all languages, and how it then goes on with each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from .._errors import M3Error
from .._progress import Progress
from ..computing import in_double_precision
from ..formatting import quantity
from ..laws import Law, get_law
from ..options import FitOptions
from ..runs import RunTable
from ._assemble import assemble
from ._best_fits import (
    best_fits_of,
    fit_data_with_weak_prior,
    weigh_by_noise,
    without_unfitted,
)
from ._engines import choose_engines, descents_of
from ._fits import Fits
from ._messages import borrowing
from .calibration import Calibration, Noise, calibrate, common_scales, even_noise
from .engine import Descents
from .pooling import (
    Priors,
    estimate_priors,
    final_fit_data,
    fit_with_priors,
    inverse_covariance,
    prior_factor,
)
from .problem import FitProblem, prepare_problem, resolve
from .uncertainty import FittedProblem, bootstrap_draws

_NOTHING_TO_POOL = "nothing to pool: fewer than two languages have 3 runs; each is fitted by itself"
_LANGUAGES_HELD_OUT = 64  # of a population, that runs are held out of


@dataclasses.dataclass(frozen=True)
class FitPlan:
    """The part of a fit that needs all languages at once; the rest is done language by language.

    A population that languages are pooled by is estimated here, so that a language's result does
    not depend on which others it is then fitted together with, on this host or another.

    Attributes:
        law: the law.
        problem: the languages that can be fitted.
        failed: the others, as in `Fits.failed`.
        settings: as in `Fits.settings`.
        weighed: languages with a prior whose weight is known before the fit, (L,) bool: from a
            population, from the caller, or the weak one where runs are too few to say it.
        priors: of those languages, None without any.
        scales: how far to trust languages with few runs of one population beyond them, see
            `common_scales`; None without pooling.
    """

    law: Law
    problem: FitProblem
    failed: Mapping[str, tuple[int, str]]
    settings: Mapping[str, Any]
    weighed: np.ndarray
    priors: Priors | None
    scales: np.ndarray | None = None

    @property
    def descents(self) -> Descents:
        """Of the search, by the engine that the plan has chosen."""
        return _descents(self.law, self.settings, "engine")

    @property
    def draws_descents(self) -> Descents:
        """Of the draws."""
        return _descents(self.law, self.settings, "draws_engine")

    def fit(self, report: Progress) -> Fits:
        """Fits of all languages of the plan."""
        with in_double_precision():
            if self.priors is None:
                return self._with_weak_prior(report)
            if self.weighed.all():
                return self._with_priors(self.priors, report)
            parts = [self.take(np.flatnonzero(rows)) for rows in (~self.weighed, self.weighed)]
            return self.joined([part.fit(report) for part in parts])

    def joined(self, parts: Sequence[Fits]) -> Fits:
        """The fits of all languages of the plan, from those of shares of them in any order."""
        arrays = {name for name, value in vars(parts[0]).items() if isinstance(value, np.ndarray)}
        fitted = list(chain.from_iterable(part.languages for part in parts))
        place = {name: i for i, name in enumerate(self.problem.languages)}
        order = np.argsort([place[name] for name in fitted])

        def gathered(name: str) -> Any:
            leaves = [getattr(part, name) for part in parts]
            if name in arrays:
                return np.concatenate(leaves)[order]
            every = list(chain.from_iterable(leaves))
            return tuple(every[i] for i in order)

        failed = dict(self.failed)
        for part in parts:
            failed |= part.failed
        per_language = {"languages", "scopes", "messages"} | arrays
        fields: dict[str, Any] = {name: gathered(name) for name in per_language}
        return dataclasses.replace(
            parts[0],
            failed=failed,
            settings=self.settings,
            grading=lambda: gathered("grades"),
            **fields,
        )

    def _with_weak_prior(self, report: Progress) -> Fits:
        """Fits of languages that have the weak prior, or none."""
        law, settings, failed = self.law, self.settings, dict(self.failed)
        best_fits = best_fits_of(self.descents, self.problem, settings, report)
        powers, middle = even_noise(len(self.problem.languages))
        if settings["noise"] == "uneven":
            best_fits, powers, middle = weigh_by_noise(
                self.descents, self.problem, best_fits, settings, report
            )
        fitted_rows = np.isfinite(best_fits.misfit)
        problem, best_fits = without_unfitted(self.problem, best_fits, failed)
        space = problem.space(law)
        data = fit_data_with_weak_prior(
            problem, space, settings["prior"], best_fits.prior_weight, best_fits.delta
        )
        counts = np.einsum("ljj->lj", data.prior_precision) > 0
        factor = np.where(counts, space.prior_sd, 0.0)[..., None] * np.eye(len(law.names))
        fitted = FittedProblem(self.draws_descents, problem, space, best_fits, data, settings)
        noise = Noise.of(fitted, powers[fitted_rows], middle[fitted_rows])
        calibration = self._calibration(fitted, noise, factor, report)
        draws = bootstrap_draws(fitted, factor, report, widening=calibration.widening)
        return assemble(fitted, draws, calibration, noise, failed)

    def _calibration(
        self,
        fitted: FittedProblem,
        noise: Noise,
        factor: np.ndarray,
        report: Progress,
        priors: Priors | None = None,
    ) -> Calibration:
        """What the draws are to be made with."""
        if self.settings["intervals"] == "bootstrap":
            return Calibration.none(len(fitted.problem.languages), self.settings["draws"])
        return calibrate(fitted, noise, factor, report, priors, self.scales)

    def _with_priors(self, priors: Priors, report: Progress) -> Fits:
        """Fits of languages whose priors are known: all that they were estimated from, or some."""
        law, settings, failed = self.law, self.settings, dict(self.failed)
        report("fitting", 0, len(self.problem.languages))
        fitted, priors, factor, noise = self._best_fits_with_priors(priors, failed)
        problem = fitted.problem
        report("fitting", len(problem.languages), len(problem.languages))
        calibration = self._calibration(fitted, noise, factor, report, priors)
        draws = bootstrap_draws(fitted, factor, report, priors, calibration.widening)
        for messages, borrowed in zip(
            problem.messages, borrowing(law, problem, priors, settings["prior"]), strict=True
        ):
            messages.extend(borrowed)
        # What all languages share was held at its estimate, whose uncertainty is a prior too.
        precision = inverse_covariance(priors.cov, problem.free)
        data = dataclasses.replace(fitted.data, prior_precision=precision)
        fitted = dataclasses.replace(fitted, data=data)
        return assemble(fitted, draws, calibration, noise, failed, priors.population)

    def _best_fits_with_priors(
        self, priors: Priors, failed: dict[str, tuple[int, str]]
    ) -> tuple[FittedProblem, Priors, np.ndarray, Noise]:
        """The best fits, and of those languages the priors, their factors, and the noise."""
        settings = self.settings
        best_fits = fit_with_priors(
            self.descents, self.problem, priors, settings["huber_delta"], settings["seed"]
        )
        priors = priors.take(np.flatnonzero(np.isfinite(best_fits.misfit)))
        problem, best_fits = without_unfitted(self.problem, best_fits, failed)
        space = problem.space(self.law)
        data = final_fit_data(problem, space, priors, settings["huber_delta"])
        factor = prior_factor(priors.cov, data.free, priors.rotation)
        fitted = FittedProblem(self.draws_descents, problem, space, best_fits, data, settings)
        return fitted, priors, factor, Noise.of(fitted, *even_noise(len(problem.languages)))

    def with_common_scales(self) -> FitPlan:
        """The plan with what hold-outs of its languages with few runs say together."""
        few = np.flatnonzero(self.problem.few)
        if not len(few) or self.settings["intervals"] == "bootstrap" or not self.settings["draws"]:
            return self
        some = self.take(few[:: -(-len(few) // _LANGUAGES_HELD_OUT)])
        assert some.priors is not None
        fitted, priors, factor, noise = some._best_fits_with_priors(some.priors, {})
        return dataclasses.replace(self, scales=common_scales(fitted, noise, factor, priors))

    def take(self, rows: np.ndarray) -> FitPlan:
        """The plan for some of `problem.languages`; it has none in `failed`."""
        weighed, priors = self.weighed[rows], None
        if self.priors is not None and weighed.any():
            place = np.cumsum(self.weighed) - 1
            priors = self.priors.take(place[rows[weighed]])
        return dataclasses.replace(
            self, problem=self.problem.take(rows), failed={}, weighed=weighed, priors=priors
        )


def plan_fit(runs: RunTable, law: str | Law, options: FitOptions, report: Progress) -> FitPlan:
    """Everything that a fit needs all languages for.

    Raises as `fit` does.
    """
    law = get_law(law)
    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    del settings["prior"]
    _check_fixed(law, options.fixed)
    prior, prior_settings = resolve(law, options.prior)
    runs = _counted(runs)
    if prior is None and options.pool != "none":
        raise M3Error("prior: pooling needs one, expected other than 'none'")
    problem, failed, pool = prepare_problem(law, runs.batch(), options.fixed, prior, options.pool)
    notes = [*runs.notes, *([] if pool == options.pool else [_NOTHING_TO_POOL])]
    settings |= {**prior_settings, "pool": pool, "source": runs.source, "notes": notes}
    settings["reading"] = dict(runs.reading)
    settings["engine"], settings["draws_engine"] = choose_engines(
        options.engine,
        options.precision,
        runs=len(runs),
        starts=options.starts,
        draws=options.draws,
    )
    weighed, priors = np.zeros(len(problem.languages), dtype=bool), None
    if prior is not None:
        weighed = problem.few | bool(prior.ranges) | (pool != "none")
    if prior is not None and weighed.any():
        delta, seed = options.huber_delta, options.seed
        rows = problem.take(np.flatnonzero(weighed))
        with in_double_precision():
            descents = _descents(law, settings, "engine")
            priors = estimate_priors(descents, rows, prior, pool, delta, seed, report)
    plan = FitPlan(law, problem, failed, settings, weighed, priors)
    if pool == "none":
        return plan
    with in_double_precision():
        return plan.with_common_scales()


def _descents(law: Law, settings: Mapping[str, Any], engine: str) -> Descents:
    return descents_of(law, settings[engine], settings["precision"], settings["tolerance"])


def _counted(runs: RunTable) -> RunTable:
    """The runs of positive weight; the others take no part in anything.

    Raises `M3Error` where that leaves a language, or all, without any.
    """
    counts = runs.weight > 0
    for name in sorted(set(runs.languages) - set(runs.language[counts])):
        raise M3Error(f"{runs.source}, language {name!r}: all its runs have weight 0")
    left_out = int(np.sum(~counts))
    if not left_out:
        return runs
    note = f"{quantity(left_out, 'run')} of weight 0 left out"
    return dataclasses.replace(runs.select(counts), notes=(*runs.notes, note))


def _check_fixed(law: Law, fixed: Mapping[str, float]) -> None:
    """Raise `M3Error` on coefficients that the law lacks, or values outside their bounds."""
    for name, value in fixed.items():
        if name not in law.names:
            raise M3Error(
                f"law {law.name} has no coefficient {name!r}; it has {', '.join(law.names)}"
            )
        low, high = law.coefficients[law.names.index(name)].bounds
        if not low <= value <= high:
            raise M3Error(f"fixed {name} = {value}: expected a value within {(low, high)}")
