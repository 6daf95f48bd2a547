"""The command `m3jax worth`: what each limit and each regime costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...options import OptimizeOptions
from .._common import (
    FitFile,
    Json,
    Language,
    print_json,
    progress_bar,
    read_table_of,
    use_cache,
)
from .._derived import with_options


@with_options(OptimizeOptions, but=("certify", "gap", "objective"))
def worth_command(
    fits: FitFile,
    language: Language = None,
    *,
    options: dict[str, Any],
    runs: Annotated[
        Path | None,
        typer.Option(
            "--runs",
            help="The run table of the fit: say also which recipes hang on one or two of its runs.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what each limit costs the best recipe, and what each other regime would lose.

    Example: m3jax worth fits.json -c 1e21 -t 100M --max-source-tokens 10B
    """
    from ...fitting import Fits
    from ...optimization import optimize, swaying_runs, worth_records

    loaded = Fits.load(fits)
    use_cache()
    with progress_bar(as_json) as progress:
        recommendations = optimize(
            loaded, languages=language or None, progress=progress, **{"draws": 0, **options}
        )
        swayed = {}
        if runs is not None:
            swayed = swaying_runs(loaded, read_table_of(loaded, runs, {}), recommendations)
        records = worth_records(recommendations, swayed)
    if as_json:
        print_json(records)
        return
    from ...output import show_worth

    show_worth(records)
