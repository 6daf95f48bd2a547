"""The command `m3jax fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..._errors import M3Error
from ...options import FitOptions, TableOptions, WorkOptions
from .._common import (
    Json,
    Table,
    print_json,
    progress_bar,
    read_table,
    use_cache,
)
from .._derived import with_options
from .._interrupts import saying_what_is_kept, watch
from .._streams import remark


@with_options(WorkOptions, parameter="work")
@with_options(FitOptions)
@with_options(TableOptions, parameter="reading")
def fit_command(
    table: Table,
    law: Annotated[str, typer.Option(help="Scaling law; `m3jax laws` lists them.")] = "m3",
    *,
    reading: dict[str, Any],
    options: dict[str, Any],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the fits to this .json file.")
    ] = None,
    work: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Fit a scaling law to every language of a run table.

    Example: m3jax fit runs.csv --huber-delta 0.01 -o fits.json
    """
    from ...fitting import fit
    from ...fitting.chunks import fit_in_chunks, share_of
    from ...fitting.fit_file import check_places

    if output is not None:
        check_places(output)
        watch(output)
    sharing = WorkOptions.of(**work)
    by_hand = (sharing.coordinator, sharing.processes, sharing.process)
    shared = sharing.distributed or any(value is not None for value in by_hand)
    if shared and sharing.checkpoint is None:
        raise M3Error(
            "--checkpoint: expected a folder that all processes see, to share the work in"
        )
    runs = read_table(table, reading)
    use_cache()
    share = share_of(
        distributed=sharing.distributed,
        coordinator=sharing.coordinator,
        processes=sharing.processes,
        process=sharing.process,
        patience=sharing.patience,
    )
    kept = "nothing is kept; with --checkpoint FOLDER finished languages are"
    if sharing.checkpoint is not None:
        kept = f"finished languages are kept in {sharing.checkpoint};"
        kept += " the same command goes on from there"
    with saying_what_is_kept(lambda: kept), progress_bar(as_json) as progress:
        if sharing.checkpoint is None:
            fits = fit(runs, law, progress=progress, **options)
        else:
            fits = fit_in_chunks(
                runs,
                law,
                checkpoint=sharing.checkpoint,
                share=share,
                patience=sharing.patience,
                progress=progress,
                **options,
            )
    if share[0] > 0:
        return  # the first process writes and prints for all
    if output is not None and fits.languages:
        fits.save(output)
    if as_json:
        print_json(fits.to_dict())
    else:
        from ...fitting import diagnose
        from ...output import DETAILED, show_fits

        doubtful = [
            name
            for name, grade in zip(fits.languages, fits.grades, strict=True)
            if grade in ("weak", "unusable")
        ]
        show_fits(fits, runs.notes, doubts=diagnose(fits, runs, languages=doubtful[:DETAILED]))
        if output is not None and fits.languages:
            remark(f"\nwritten: {output}, {output.with_suffix('.npz')}", error=True)
    fits.require_any()
