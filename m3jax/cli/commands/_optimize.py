"""The command `m3jax optimize`: the best recipe for each budget and corpus size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...options import OptimizeOptions
from .._common import FitFile, Json, Language, print_json, progress_bar, use_cache
from .._derived import with_options
from .._export import (
    BatchSize,
    Export,
    ExportTo,
    SequenceLength,
    SourceData,
    TargetData,
    check_export,
)
from .._interrupts import watch
from .._streams import remark


@with_options(OptimizeOptions)
def optimize_command(
    fits: FitFile,
    language: Language = None,
    *,
    options: dict[str, Any],
    recipes: Annotated[
        Path | None, typer.Option("--recipes", help="Write the recipes to this .csv file.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Write the training plan to this .json file.")
    ] = None,
    export: Export = None,
    export_to: ExportTo = Path("export"),
    batch_size: BatchSize = None,
    sequence_length: SequenceLength = None,
    target_data: TargetData = "{language}",
    source_data: SourceData = "source",
    as_json: Json = False,
) -> None:
    """Find the best recipe for each budget and corpus size.

    Example: m3jax optimize fits.json -c 1e20,1e21 -t 30M,100M --max-source-tokens 10B
    """
    from ...export import export_texts, training_plan
    from ...files import check_place, csv_text, encoded, json_text, write_folder
    from ...fitting import Fits
    from ...optimization import optimize

    batch = check_export(export, batch_size, sequence_length)
    for place in (recipes, plan, export_to / "plan.json" if export is not None else None):
        if place is not None:
            check_place(place)
            watch(place)
    loaded = Fits.load(fits)
    use_cache()
    with progress_bar(as_json) as progress:
        recommendations = optimize(loaded, languages=language or None, progress=progress, **options)
    texts: dict[Path, str] = {}
    if recipes is not None:
        texts[recipes] = csv_text(recommendations.records())
    if plan is not None:
        texts[plan] = json_text(training_plan(recommendations, batch))
    written = ""
    if export is not None:
        exported = export_texts(
            recommendations,
            export,
            batch=batch,
            target_data=target_data,
            source_data=source_data,
        )
        texts |= {export_to / name: text for name, text in exported.items()}
        more = f" and {len(exported) - 1} more" if len(exported) > 1 else ""
        written = f"\nwritten to {export_to}: {next(iter(exported))}{more}"
    write_folder({place: encoded(text) for place, text in texts.items()})
    if as_json:
        print_json(recommendations.records())
        return
    from ...output import show_recommendations

    show_recommendations(recommendations)
    if written:
        remark(written)
