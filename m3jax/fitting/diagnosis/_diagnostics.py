"""`diagnose`: what the runs of a table determine, what they do not, and what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from ... import formatting
from ..._errors import M3Error
from ...laws import LogSpaceLaw
from ...runs import RunTable
from .._fits import Fits
from ..problem import Scope
from ..uncertainty import Linearised, check_languages, linearise
from ._residuals import RunDiagnosis, Trend, influential, outliers, run_diagnoses, trends
from ._verdicts import (
    ENOUGH,
    TOGETHER,
    coefficient_verdicts,
    design_verdicts,
    fit_verdicts,
    grade,
    run_verdicts,
    why_held,
)

# Share of what is known about a coefficient that the runs, not the prior, tell.
_WELL, _BARELY = 0.9, 0.25
_VANISHED = -20.0  # log size of a term, relative to the typical loss, that is as good as gone
_WORST = 1e16  # condition number that stands for singular
_SHARE_OF_NORMAL = 3.2897072539029444  # standard deviations between the 5% and the 95% quantile


@dataclasses.dataclass(frozen=True)
class CoefficientDiagnosis:
    """How well the runs determine one coefficient.

    Attributes:
        name: the coefficient.
        value: at the best fit.
        log: whether the standard error is that of its logarithm.
        standard_error: the larger of the delta method's and, with draws, the bootstrap's; None for
            a coefficient that is held.
        determined: "well", "weakly", "prior only" or "not" by the runs, or "fixed" by the user.
        share: 0 to 1, how much of what is known about it comes from the runs and not from the weak
            prior: 1 − (standard error / the prior's)². An amplitude is judged by the size of its
            term in the middle of the runs. None for a coefficient that is held.
        confounded_with: (name, correlation) of coefficients that cannot be told from it.
        bound: in words, the bound it is at; empty where it is not.
        note: in words, what else to know.
    """

    name: str
    value: float
    log: bool
    standard_error: float | None
    determined: str
    share: float | None
    confounded_with: tuple[tuple[str, float], ...]
    bound: str
    note: str


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What the runs of one language are worth to the law that was fitted to them.

    Attributes:
        language: its name.
        grade: "good", "usable", "weak" or "unusable".
        verdicts: sentences to act on, the most important first.
        n_runs: rows of the table.
        n_independent: runs with weight; checkpoints that share a `run_id` are one.
        r2: share of the variance of the loss explained; None if the law was not fitted.
        noise: robust standard deviation of the runs around the fit, in log loss; None likewise.
        prediction_error: the typical (median) standard error of the predicted log loss at the
            runs; None likewise.
        condition_number: of the Jacobian of the log losses with respect to the free coefficients,
            centred, columns scaled to unit length; None likewise.
        converged: whether the fit did.
        agreement: share of its last starts that found the same optimum.
        coefficients: in the law's order.
        correlation: of the coefficients, in the same order, (p, p), amplitudes taken in the middle
            of the runs; zero for those that are held.
        outliers: runs further from the fit than chance allows, the furthest first.
        influential: the few runs that decide most.
        trends: residuals against each variable that varies, the worst first.
        runs: every run that has weight, in the table's order.
    """

    language: str
    grade: str
    verdicts: tuple[str, ...]
    n_runs: int
    n_independent: int
    r2: float | None
    noise: float | None
    prediction_error: float | None
    condition_number: float | None
    converged: bool
    agreement: float
    coefficients: tuple[CoefficientDiagnosis, ...]
    correlation: np.ndarray
    outliers: tuple[RunDiagnosis, ...]
    influential: tuple[RunDiagnosis, ...]
    trends: tuple[Trend, ...]
    runs: tuple[RunDiagnosis, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, every number finite; without `runs`."""
        content = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "runs"
        }
        content["verdicts"] = list(self.verdicts)
        content["correlation"] = self.correlation.tolist()
        for name in ("coefficients", "outliers", "influential", "trends"):
            content[name] = [dataclasses.asdict(item) for item in getattr(self, name)]
        for item in content["coefficients"]:
            item["confounded_with"] = dict(item["confounded_with"])
        return content


def diagnose(
    fits: Fits, runs: RunTable, *, languages: Iterable[str] | None = None
) -> dict[str, Diagnosis]:
    """What the runs determine, which of them stand out, and what to do, by language.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        languages: only these; default all, those that could not be fitted included.

    Raises `M3Error` if the fits were not made from these runs, or on an unknown language.
    """
    check_languages(fits, runs)
    names = (*fits.languages, *fits.failed) if languages is None else tuple(languages)
    for name in names:
        if name not in fits.failed:
            fits.index(name)
    fitted = [name for name in names if name not in fits.failed]
    found = dict(zip(fitted, linearise(fits, runs, fitted), strict=True))
    return {
        name: _of(fits, runs, found[name], name) if name in found else _failed(fits, runs, name)
        for name in names
    }


def _of(fits: Fits, runs: RunTable, one: Linearised, language: str) -> Diagnosis:
    i = fits.index(language)
    coefficients = _coefficients(fits, i, one)
    told = run_diagnoses(one, runs)
    spread = np.einsum("ij,jk,ik->i", one.jacobian, one.covariance_x, one.jacobian)
    diagnosis = Diagnosis(
        language=language,
        grade="",
        verdicts=(),
        n_runs=int(fits.n_runs[i]),
        n_independent=one.n_clusters,
        r2=float(fits.r2[i]),
        noise=one.noise_sd,
        prediction_error=float(np.sqrt(np.median(np.maximum(spread, 0.0)))),
        condition_number=_condition(one),
        converged=bool(fits.converged[i]),
        agreement=float(fits.agreement[i]),
        coefficients=coefficients,
        correlation=_correlations(one),
        outliers=outliers(one, told),
        influential=influential(told),
        trends=trends(one, fits.scopes[i]),
        runs=told,
    )
    free = [c for c in coefficients if c.standard_error is not None]
    verdicts = design_verdicts(
        fits.law,
        fits.scopes[i],
        one.recipe,
        fixed=fits.settings["fixed"],
        doubtful={c.name for c in coefficients if c.determined != "well"},
    )
    verdicts += coefficient_verdicts(fits.law, fits.scopes[i], coefficients)
    enough = one.n_clusters >= ENOUGH * len(free)
    verdicts += run_verdicts(diagnosis.outliers, told, one.recipe, enough=enough)
    verdicts += fit_verdicts(fits.law, diagnosis, one.delta)
    verdicts.sort(key=lambda verdict: verdict[0])
    return dataclasses.replace(
        diagnosis,
        grade=grade(diagnosis, [rank for rank, _ in verdicts]),
        verdicts=tuple(text for _, text in verdicts),
    )


def _failed(fits: Fits, runs: RunTable, language: str) -> Diagnosis:
    """Of a language that could not be fitted: why, and what its choice of runs lacks besides."""
    own = runs.for_language(language)
    n_runs, reason = fits.failed[language]
    if len(own) != n_runs:
        raise M3Error(
            f"{runs.source}, language {language!r}: found {len(own)} runs, the fit was made from"
            f" {n_runs}"
        )
    scope = Scope.of(own.recipe)
    design = design_verdicts(fits.law, scope, own.recipe, fixed=fits.settings["fixed"])
    p = len(fits.law.names)
    return Diagnosis(
        language=language,
        grade="unusable",
        verdicts=(f"not fitted: {reason}", *(text for _, text in sorted(design))),
        n_runs=n_runs,
        n_independent=len(set(own.run_id[own.weight > 0].tolist())),
        r2=None,
        noise=None,
        prediction_error=None,
        condition_number=None,
        converged=False,
        agreement=0.0,
        coefficients=(),
        correlation=np.zeros((p, p)),
        outliers=(),
        influential=(),
        trends=(),
        runs=(),
    )


def _coefficients(fits: Fits, i: int, one: Linearised) -> tuple[CoefficientDiagnosis, ...]:
    # Where the law bends within the scatter of a coefficient, the bootstrap sees it and the delta
    # method does not: the less sure of both counts.
    error, inside = (
        np.sqrt(np.maximum(np.diagonal(c), 0.0)) for c in (one.covariance, one.covariance_x)
    )
    if fits.draws.shape[1]:
        drawn = np.linalg.solve(one.space.centre, fits.draws[i].T).T
        error = np.maximum(error, _spread(fits.draws[i]))
        inside = np.maximum(inside, _spread(drawn))
    x = one.space.to_x(one.theta)
    together = _correlations(one)
    terms = fits.law.terms if isinstance(fits.law, LogSpaceLaw) else {}
    out = []
    for j, c in enumerate(fits.law.coefficients):
        value = float(np.exp(one.theta[j]) if c.log else one.theta[j])
        if not one.free[j]:
            fixed = c.name in fits.settings["fixed"]
            why = "by you" if fixed else why_held(fits.law, c.name, fits.scopes[i])
            label = "fixed" if fixed else "not"
            out.append(
                CoefficientDiagnosis(
                    c.name, value, c.log, None, label, None, (), "", f"held: {why}"
                )
            )
            continue
        share = 1 - (inside[j] / max(one.prior_sd[j], 1e-9)) ** 2
        pairs = [
            (fits.law.names[k], float(together[j, k]))
            for k in np.flatnonzero(np.abs(together[j]) > TOGETHER)
            if k != j
        ]
        bound = _bound(fits, one, j, x[j], c.name in terms)
        notes = [bound] if bound else []
        if c.name in terms and not bound:
            size = f"{formatting.ratio(float(np.exp(x[j])))} nats"
            notes.append(f"{size} mid-runs, ×/÷ {np.exp(min(inside[j], 99.0)):.3g}")
        if pairs:
            names = " and ".join(name for name, _ in pairs)
            notes.append(f"goes with {names} (correlation {pairs[0][1]:.2f})")
        out.append(
            CoefficientDiagnosis(
                name=c.name,
                value=value,
                log=c.log,
                standard_error=float(error[j]),
                determined=_label(float(share), one.has_prior),
                share=float(np.clip(share, 0.0, 1.0)),
                confounded_with=tuple(pairs),
                bound=bound,
                note="; ".join(notes),
            )
        )
    return tuple(out)


def _label(share: float, has_prior: bool) -> str:
    if share >= _WELL:
        return "well"
    if share >= _BARELY:
        return "weakly"
    return "prior only" if has_prior else "not"


def _bound(fits: Fits, one: Linearised, j: int, x: float, is_term: bool) -> str:
    c, low, high = fits.law.coefficients[j], one.space.lower[j], one.space.upper[j]
    if is_term:
        mean_log_loss = float(np.mean(one.log_loss))
        return "vanishes: no sign of its term" if x < mean_log_loss + _VANISHED else ""
    slack = 1e-6 * (high - low)
    if x <= low + slack:
        return f"is at its lower bound {c.bounds[0]:g}, where the runs press it"
    at_top = f"is at its upper bound {c.bounds[1]:g}, where the runs press it"
    return at_top if x >= high - slack else ""


def _spread(draws: np.ndarray) -> np.ndarray:
    """Standard deviation of draws (B, p), few of them far out."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return (high - low) / _SHARE_OF_NORMAL


def _correlations(one: Linearised) -> np.ndarray:
    """Of the coefficients, from the curvature of the objective, prior included."""
    size = np.sqrt(np.diagonal(one.inverse_hessian))
    safe = np.where(size > 0, size, 1.0)
    return np.clip(one.inverse_hessian / safe / safe[:, None], -1.0, 1.0)


def _condition(one: Linearised) -> float:
    jacobian = np.sqrt(one.weight)[:, None] * one.jacobian[:, one.free]
    size = np.linalg.norm(jacobian, axis=0)
    values = np.linalg.svd(jacobian / np.where(size > 0, size, 1.0), compute_uv=False)
    if not len(values):
        return 1.0
    return float(min(values[0] / max(values[-1], values[0] / _WORST), _WORST))
