"""Runs that stand out from a fit, and runs that decide it."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ...formatting import rough_percent
from ...runs import RunTable
from ..uncertainty import Linearised, student_quantile
from ._diagnosis import RunDiagnosis

_FALSE_OUTLIER = 0.01  # nominal chance of one in a language without any
_FEWEST_FREEDOM = 3  # degrees of freedom below which Student's quantile is not trusted
_INFLUENTIAL_RUNS = 3  # how many are named


def run_diagnoses(
    linearised: Linearised, names: Sequence[str], rows: np.ndarray
) -> tuple[RunDiagnosis, ...]:
    """Every run of a language that has weight, by its name and row, in the table's order.

    A run's influence is the largest of |s_i H⁻¹|_j / se_j, with s_i its score at its deleted
    residual: one Newton step from the fit to that without the run (DFBETAS, Belsley et al. 1980).
    """
    error = np.sqrt(np.diagonal(linearised.covariance_x))
    # Where the Hessian is large against the gradient, leaving a run out is one Newton step.
    shift = np.abs(linearised.score @ linearised.inverse_hessian)
    shift = shift / np.where(error > 0, error, np.inf)
    noise, coefficients = linearised.noise_sd, linearised.law.names
    most = np.argmax(shift, axis=1)
    numbers = (rows, -linearised.residual, linearised.leverage, shift.max(axis=1), most)
    out = []
    for name, row, residual, leverage, influence, j in zip(
        names, *(leaf.tolist() for leaf in numbers), strict=True
    ):
        standardised = residual / noise
        side = "above" if residual > 0 else "below"
        out.append(
            RunDiagnosis(
                name=name,
                row=row,
                residual=residual,
                standardised=standardised,
                leverage=leverage,
                influence=influence,
                moves=coefficients[j],
                message=f"{name} lies {rough_percent(abs(math.expm1(residual)))} {side} the fit,"
                f" {abs(standardised):.0f} robust sd",
            )
        )
    return tuple(out)


def outliers(runs: Sequence[RunDiagnosis], degrees_of_freedom: int) -> tuple[RunDiagnosis, ...]:
    """Runs further out than chance allows among so many, the furthest first.

    |e_i| / σ > t_ν(1 − α/2n): two-sided Student's quantile, Bonferroni's correction for n runs.
    """
    probability = 1 - _FALSE_OUTLIER / (2 * len(runs))
    limit = student_quantile(probability, max(degrees_of_freedom, _FEWEST_FREEDOM))
    beyond = [run for run in runs if abs(run.standardised) > limit]
    return tuple(sorted(beyond, key=lambda run: -abs(run.standardised)))


def most_influential(runs: Sequence[RunDiagnosis]) -> tuple[RunDiagnosis, ...]:
    """The few runs that decide most, with a message that says what each moves."""
    top = sorted(runs, key=lambda run: -run.influence)[:_INFLUENTIAL_RUNS]
    return tuple(
        dataclasses.replace(
            run,
            message=f"without {run.name}, {run.moves} moves by about {run.influence:.1f} of its"
            f" standard errors (leverage {run.leverage:.2f})",
        )
        for run in top
    )


def run_names(runs: RunTable, position: np.ndarray) -> list[str]:
    """How to speak of the runs at these positions of the table."""
    ids, rows = [str(i) for i in runs.run_id[position]], runs.row[position].tolist()
    if all(i == str(row) for i, row in zip(ids, rows, strict=True)):
        return [f"row {row}" for row in rows]
    count = Counter(ids)
    return [
        (i if i.lower().startswith("run") else f"run {i!r}")
        + (f" (row {row})" if count[i] > 1 else "")
        for i, row in zip(ids, rows, strict=True)
    ]
