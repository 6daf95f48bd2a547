"""`diagnose`: what the runs of a table determine, what they do not, and what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from ..._errors import M3Error
from ...options import names_in
from ...runs import RunTable
from .._fits import NOT_FITTED, Fits
from ..problem import Scope
from ..uncertainty import Linearised, check_languages, linearise
from ._coefficient_verdicts import coefficient_verdicts
from ._coefficients import coefficient_diagnoses, condition_number, correlations
from ._design_verdicts import design_verdicts
from ._diagnosis import Diagnosis
from ._fit_verdicts import RUNS_PER_COEFFICIENT, fit_verdicts
from ._run_verdicts import run_verdicts
from ._runs import most_influential, outliers, run_diagnoses, run_names
from ._trends import trends
from ._verdict import grade


def diagnose(
    fits: Fits, runs: RunTable, *, languages: str | Iterable[str] | None = None
) -> dict[str, Diagnosis]:
    """What the runs determine, which of them stand out, and what to do, by language.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        languages: only these; default all, those that could not be fitted included.

    Raises `M3Error` if the fits were not made from these runs, or on an unknown language.
    """
    check_languages(fits, runs)
    names = (*fits.languages, *fits.failed) if languages is None else names_in(languages)
    for name in names:
        if name not in fits.failed:
            fits.index(name)
    fitted = [name for name in names if name not in fits.failed]
    linearised = dict(zip(fitted, linearise(fits, runs, fitted), strict=True))
    return {
        name: _of_table(fits, runs, linearised[name], name)
        if name in linearised
        else _failed(fits, runs, name)
        for name in names
    }


def grades(fits: Fits, linearised: Iterable[Linearised]) -> tuple[str, ...]:
    """The grade of every fitted language, from its fit to first order, in order."""
    found = []
    for i, one in enumerate(linearised):
        rows = one.position + 1
        found.append(_diagnosis(fits, i, one, [f"row {row}" for row in rows], rows).grade)
    return tuple(found)


def _of_table(fits: Fits, runs: RunTable, linearised: Linearised, language: str) -> Diagnosis:
    """A fitted language's diagnosis, with the grade that its fit was given."""
    i, position = fits.index(language), linearised.position
    names = run_names(runs, position)
    diagnosis = _diagnosis(fits, i, linearised, names, runs.row[position])
    return dataclasses.replace(diagnosis, grade=fits.grades[i])


def _diagnosis(
    fits: Fits, i: int, linearised: Linearised, names: Sequence[str], rows: np.ndarray
) -> Diagnosis:
    """Of language number `i`; `names` and `rows` are of the runs that have weight."""
    coefficients = coefficient_diagnoses(fits, i, linearised)
    own_runs = run_diagnoses(linearised, names, rows)
    variance = linearised.prediction_variance(linearised.covariance_x)
    diagnosis = Diagnosis(
        language=fits.languages[i],
        grade="",
        verdicts=(),
        n_runs=int(fits.n_runs[i]),
        n_independent=linearised.n_clusters,
        r2=float(fits.r2[i]),
        noise=linearised.noise_sd,
        prediction_error=float(np.sqrt(np.median(np.maximum(variance, 0.0)))),
        condition_number=condition_number(linearised),
        converged=bool(fits.converged[i]),
        agreement=float(fits.agreement[i]),
        coefficients=coefficients,
        correlation=correlations(linearised),
        outliers=outliers(own_runs, linearised.degrees_of_freedom),
        influential=most_influential(own_runs),
        trends=trends(linearised, fits.scopes[i]),
        runs=own_runs,
    )
    free = sum(c.standard_error is not None for c in coefficients)
    enough = linearised.n_clusters >= RUNS_PER_COEFFICIENT * free
    verdicts = [
        *design_verdicts(
            fits.law,
            fits.scopes[i],
            linearised.recipe,
            fixed=fits.settings["fixed"],
            doubtful={c.name for c in coefficients if c.determined != "well"},
        ),
        *coefficient_verdicts(fits.law, fits.scopes[i], coefficients),
        *run_verdicts(diagnosis.outliers, own_runs, linearised.recipe, enough=enough),
        *fit_verdicts(fits.law, diagnosis, linearised.delta),
    ]
    verdicts.sort(key=lambda verdict: verdict.rank)
    return dataclasses.replace(
        diagnosis,
        grade=grade(diagnosis, verdicts),
        verdicts=tuple(verdict.text for verdict in verdicts),
    )


def _failed(fits: Fits, runs: RunTable, language: str) -> Diagnosis:
    """Of a language that could not be fitted: why, and what its choice of runs lacks besides."""
    own = runs.for_language(language)
    own = own.select(own.weight > 0)  # the others took no part in the fit
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
        grade=NOT_FITTED,
        verdicts=(f"not fitted: {reason}", *(verdict.text for verdict in sorted(design))),
        n_runs=n_runs,
        n_independent=len(set(own.run_id.tolist())),
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
