"""Fits and diagnoses on the terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from ..tables import (
    coefficients_table,
    determined_table,
    diagnoses_table,
    languages_table,
    population_table,
)
from ._console import (
    MOST_LANGUAGES,
    escape,
    open_console,
    print_line,
    print_notes,
    print_rest,
    print_table,
)

if TYPE_CHECKING:
    from ...fitting import Diagnosis, Fits


DETAILED = 3  # languages; beyond so many, each gets one line


def show_fits(
    fits: Fits,
    notes: Sequence[str] = (),
    *,
    doubts: Mapping[str, Diagnosis] | None = None,
    brief: bool = False,
) -> None:
    """One table of languages, then (unless `brief`) the coefficients of each.

    `doubts` are diagnoses of languages whose fit is weak or unusable.
    """
    console = open_console()
    shown, failed = fits.languages[:MOST_LANGUAGES], list(fits.failed)[:MOST_LANGUAGES]
    table = languages_table(fits)
    rows = [row for row in table.rows if row["language"] in {*shown, *failed}]
    print_table(console, dataclasses.replace(table, rows=rows))
    print_rest(console, fits.languages, "--json and -o files")
    print_notes(console, notes)
    doubtful = [grade for grade in ("weak", "unusable") if grade in fits.grades]
    if doubtful:
        print_notes(console, [f"{' or '.join(doubtful)}: `m3jax diagnose` says why"])
    many = len(fits.languages) > 1
    some = {name: diagnosis for name, diagnosis in (doubts or {}).items() if name in shown}
    for name, diagnosis in some.items():
        lead = [diagnosis.verdicts[0], *([_outliers(diagnosis)] if diagnosis.outliers else [])]
        print_notes(console, lead, f"{name}: " if many else "")
    for name, messages in zip(shown, fits.messages, strict=False):
        print_notes(console, messages, f"{name}: " if many else "")
    for name in failed:
        print_notes(console, [fits.failed[name][1]], f"{name}: ")
    if brief or not fits.languages:
        return
    if fits.population is not None:
        print_table(console, population_table(fits, fits.population))
    for name in shown:
        print_table(console, coefficients_table(fits, name))
    print_rest(console, fits.languages, "--json and -o files")


def show_diagnoses(
    diagnoses: Mapping[str, Diagnosis], law: str, source: str, *, brief: bool = False
) -> None:
    """What the runs determine: coefficients and verdicts of each language.

    Of many languages, or if `brief`, one line each.
    """
    console = open_console()
    if brief or len(diagnoses) > DETAILED:
        title = f"What the runs of {source} tell law {law}"
        print_table(console, diagnoses_table(diagnoses, title))
        return
    for diagnosis in diagnoses.values():
        _show_diagnosis(console, diagnosis, law)


def _show_diagnosis(console: Console, diagnosis: Diagnosis, law: str) -> None:
    table = determined_table(diagnosis, law)
    if table.rows:
        print_table(console, table)
    else:
        console.print(escape(table.title), style="bold")
    for verdict in diagnosis.verdicts:
        print_line(console, f"  - {verdict}")
    if diagnosis.outliers:
        print_line(console, f"  {_outliers(diagnosis)}")
    console.print()


def _outliers(diagnosis: Diagnosis) -> str:
    names = [f"{run.name} ({np.expm1(run.residual):+.0%})" for run in diagnosis.outliers]
    return f"outlier runs, loss against the fit: {', '.join(names)}"
