"""The command `m3jax diagnose`: what the runs of a fit determine."""

from __future__ import annotations

from typing import Any

from ...options import TableOptions
from .._common import (
    FitFile,
    Json,
    Language,
    Table,
    print_json,
    read_table_of,
    use_cache,
)
from .._derived import with_options


@with_options(TableOptions, parameter="reading")
def diagnose_command(
    fits: FitFile,
    table: Table,
    *,
    reading: dict[str, Any],
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Say what the runs of a fit determine, which of them stand out, and what to do about it.

    Give the table that the fit was made with. Names, units and rows are read as they were for the
    fit, unless they are given here.

    Example: m3jax diagnose fits.json runs.csv --language German
    """
    from ...fitting import Fits, diagnose

    loaded = Fits.load(fits)
    runs = read_table_of(loaded, table, reading)
    use_cache()
    diagnoses = diagnose(loaded, runs, languages=language or None)
    if as_json:
        print_json({name: diagnosis.to_dict() for name, diagnosis in diagnoses.items()})
        return
    from ...output import show_diagnoses

    show_diagnoses(diagnoses, loaded.law.name, runs.source)
