"""Tables of what runs determine: languages, and the coefficients of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ... import formatting
from ._table import Column, Table, plain_column

if TYPE_CHECKING:
    from ...fitting import CoefficientDiagnosis, Diagnosis


def diagnoses_table(diagnoses: Mapping[str, Diagnosis], title: str) -> Table:
    """One row a language: what its runs are worth, and the first thing to do about it."""
    return Table(
        title=title,
        columns=(
            plain_column("language"),
            plain_column("n_runs", "runs"),
            plain_column("grade"),
            plain_column("noise", "scatter around\nthe fit", formatting.percent, brief="noise"),
            plain_column("r2", "R²", formatting.r_squared),
            Column(
                "verdict",
                "first of all",
                lambda d: next(iter(d.verdicts), ""),
                left=True,
                prose=True,
            ),
        ),
        rows=list(diagnoses.values()),
    )


def determined_table(diagnosis: Diagnosis, law: str) -> Table:
    """One row a coefficient: how well the runs of one language determine it."""
    d = diagnosis
    return Table(
        title=(
            f"{d.language}, law {law}: {d.grade} ({d.n_runs} runs, noise"
            f" {formatting.percent(d.noise)}, R² {formatting.r_squared(d.r2)})"
        ),
        columns=(
            plain_column("name", "coefficient"),
            plain_column("value", "value", lambda x: f"{x:.4g}"),
            Column("standard_error", "standard error", standard_error),
            plain_column("determined", left=True),
            Column("note", "note", lambda c: c.note, left=True, prose=True),
        ),
        rows=d.coefficients,
    )


def standard_error(coefficient: CoefficientDiagnosis) -> str:
    """The standard error of a coefficient, or the factor it stands for: ± 0.012, ×/÷ 1.34."""
    error = coefficient.standard_error
    if error is None:
        return formatting.MISSING
    if not coefficient.log:
        return f"± {error:.2g}"
    return f"×/÷ {np.exp(error):.3g}" if error < 20 else "any"
