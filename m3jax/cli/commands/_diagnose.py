"""The command `m3jax diagnose`: what the runs of a fit determine."""

from __future__ import annotations

from typing import Any

from ...options import CellOptions
from .._common import (
    DropHighest,
    FitFile,
    Json,
    Language,
    Map,
    Table,
    Units,
    print_json,
    read_table,
    use_cache,
)
from .._derived import with_options


@with_options(CellOptions, parameter="cells")
def diagnose_command(
    fits: FitFile,
    table: Table,
    columns: Map = None,
    units: Units = None,
    drop_highest: DropHighest = 0,
    *,
    cells: dict[str, Any],
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Say what the runs of a fit determine, which of them stand out, and what to do about it.

    Give the table, and the names, units and left-out runs, that the fit was made with.

    Example: m3jax diagnose fits.json runs.csv --language German
    """
    from ...fitting import Fits, diagnose

    loaded = Fits.load(fits)
    runs = read_table(table, columns, units, drop_highest, cells)
    use_cache()
    diagnoses = diagnose(loaded, runs, languages=language or None)
    if as_json:
        print_json({name: diagnosis.to_dict() for name, diagnosis in diagnoses.items()})
        return
    from ...output import show_diagnoses

    show_diagnoses(diagnoses, loaded.law.name, runs.source)
