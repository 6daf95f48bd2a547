"""The command `m3jax next`: the further small runs that would sharpen the recommendation most."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ...options import Limits, NextOptions
from .. import _arguments as arguments
from .._common import FitFile, Json, Language, SheetFile, print_json, progress_bar, use_cache
from .._derived import with_options
from .._interrupts import watch
from .._streams import remark

# The limits of the recipe to be decided on have the names of the runs' ranges; only one is asked.
_LIMITS = tuple(name for name in Limits.names() if name != "ladder")


@with_options(NextOptions, but=_LIMITS)
def next_command(
    fits: FitFile,
    language: Language = None,
    *,
    options: dict[str, Any],
    n_params: Annotated[str | None, typer.Option(help="Range LOW,HIGH of the runs.")] = None,
    unique_tokens: Annotated[
        str | None, typer.Option(help="Range LOW,HIGH of the runs' unique target tokens.")
    ] = None,
    epochs: Annotated[str | None, typer.Option(help="Range LOW,HIGH of the runs.")] = None,
    target_ratio: Annotated[str | None, typer.Option(help="Range LOW,HIGH of the runs.")] = None,
    stage_fraction: Annotated[
        str | None, typer.Option(help="Range LOW,HIGH of two-stage runs' final stage.")
    ] = None,
    output: SheetFile = None,
    as_json: Json = False,
) -> None:
    """Propose the further small runs that would sharpen the recommendation most.

    Example: m3jax next fits.json --budget 1e18 --runs 8 -o sheet.csv
    """
    from ...design import check_sheet, next_runs, write_sheet
    from ...fitting import Fits
    from ...output import show_next_runs

    if output is not None:
        check_sheet(output)
        watch(output)
    loaded = Fits.load(fits)
    loaded.require_any()
    ranges = {
        name: arguments.bounds(flag, text)
        for name, flag, text in (
            ("n_params", "--n-params", n_params),
            ("target_tokens", "--unique-tokens", unique_tokens),
            ("epochs", "--epochs", epochs),
            ("target_ratio", "--target-ratio", target_ratio),
            ("stage_fraction", "--stage-fraction", stage_fraction),
        )
        if text is not None
    }
    use_cache()
    with progress_bar(as_json) as progress:
        sheets = [
            next_runs(loaded, language=name, ranges=ranges, progress=progress, **options)
            for name in language or loaded.languages
        ]
    if output is not None:
        write_sheet(output, sheets)
    if as_json:
        print_json([sheet.to_dict() for sheet in sheets])
        return
    show_next_runs(sheets)
    if output is not None:
        remark(f"\nwritten to {output}: train these, fill in `loss`, add them to your table")
