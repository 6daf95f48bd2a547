"""The command `m3jax fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..._errors import M3Error
from ...options import FitOptions
from .._common import (
    DropHighest,
    Json,
    Map,
    Table,
    Units,
    print_json,
    progress_bar,
    read_table,
    use_cache,
)
from .._derived import with_options


@with_options(FitOptions)
def fit_command(
    table: Table,
    law: Annotated[str, typer.Option(help="Scaling law; `m3jax laws` lists them.")] = "m3",
    columns: Map = None,
    units: Units = None,
    drop_highest: DropHighest = 0,
    *,
    options: dict[str, Any],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the fits to this .json file.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Keep finished languages in this folder; start again to go on."),
    ] = None,
    distributed: Annotated[
        bool,
        typer.Option("--distributed", help="Share the work: Slurm, MPI, Kubernetes, TPU pods."),
    ] = False,
    coordinator: Annotated[
        str | None,
        typer.Option(help="The same elsewhere: where process 0 is.", metavar="HOST:PORT"),
    ] = None,
    processes: Annotated[int | None, typer.Option(help="How many share the work.")] = None,
    process: Annotated[int | None, typer.Option(help="Which of them this is, from 0.")] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for a process that shows no sign of life.")
    ] = 300.0,
    as_json: Json = False,
) -> None:
    """Fit a scaling law to every language of a run table."""
    from ...fitting import fit
    from ...fitting.chunks import fit_in_chunks, share_of

    if output is not None and output.suffix != ".json":
        raise M3Error(f"{output}: expected a file name ending in .json")
    shared = distributed or any(x is not None for x in (coordinator, processes, process))
    if shared and checkpoint is None:
        raise M3Error(
            "--checkpoint: expected a folder that all processes see, to share the work in"
        )
    runs = read_table(table, columns, units, drop_highest)
    use_cache()
    share = share_of(
        distributed=distributed,
        coordinator=coordinator,
        processes=processes,
        process=process,
        patience=patience,
    )
    with progress_bar(as_json) as progress:
        if checkpoint is None:
            fits = fit(runs, law, progress=progress, **options)
        else:
            fits = fit_in_chunks(
                runs,
                law,
                checkpoint=checkpoint,
                share=share,
                patience=patience,
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
        from ...output import show_fits

        show_fits(fits, runs.notes)
        if output is not None and fits.languages:
            typer.echo(f"\nwritten: {output}, {output.with_suffix('.npz')}", err=True)
    fits.require_any()
