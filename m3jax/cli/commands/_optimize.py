"""The command `m3jax optimize`: the best recipe for each budget and corpus size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import _arguments as arguments
from .._common import FitFile, Json, Language, print_json, progress_bar, use_cache
from ._export import (
    BatchSize,
    Export,
    ExportTo,
    SequenceLength,
    SourceData,
    TargetData,
    check_export,
)

if TYPE_CHECKING:
    from ...optimization import Recommendations
    from ...stages import Batch


def optimize_command(
    fits: FitFile,
    compute: Annotated[str, typer.Option("--compute", "-c", help="Budget(s) in FLOP: 1e20,1e21")],
    target_tokens: Annotated[
        str, typer.Option("--target-tokens", "-t", help="Unique target tokens: 30M,100M")
    ],
    language: Language = None,
    n_params: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    epochs: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    target_ratio: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    final_ratio: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    stage_fraction: Annotated[
        str | None, typer.Option(help="Bounds LOW,HIGH of the final stage's share of tokens")
    ] = None,
    first_share: Annotated[
        float | None, typer.Option(help="Ratio before the final stage, over the average ratio.")
    ] = None,
    max_total_tokens: Annotated[str | None, typer.Option(help="Cap on training tokens.")] = None,
    max_source_tokens: Annotated[
        str | None, typer.Option(help="Unique source tokens there are.")
    ] = None,
    max_source_epochs: Annotated[
        float, typer.Option(help="How often source tokens may be read.")
    ] = 1.0,
    ladder: Annotated[
        str | None, typer.Option(help="The only model sizes that can be trained: 70M,160M,410M")
    ] = None,
    min_first_ratio: Annotated[
        float | None, typer.Option(help="Lowest target ratio before the final stage.")
    ] = None,
    inference_tokens: Annotated[
        str | None, typer.Option(help="Tokens to be served, paid from the budget at 2N FLOP each.")
    ] = None,
    max_gpu_hours: Annotated[str | None, typer.Option(help="Cap on training time.")] = None,
    flops_per_second: Annotated[
        str | None, typer.Option(help="FLOP/s that one GPU achieves, for --max-gpu-hours.")
    ] = None,
    source_fits: Annotated[
        Path | None, typer.Option(help="Fit file of the same runs' losses on source text.")
    ] = None,
    max_source_loss: Annotated[
        float | None, typer.Option(help="Cap on the loss on source text, for --source-fits.")
    ] = None,
    objective: Annotated[
        str, typer.Option(help="point, or over the draws: mean, quantile, regret.")
    ] = "point",
    certify: Annotated[
        bool, typer.Option("--certify", help="Prove each recipe best, by branch and bound.")
    ] = False,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Vary what the runs say nothing about, too.")
    ] = False,
    draws: Annotated[int, typer.Option(help="Bootstrap draws to use for intervals.")] = 100,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
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
    """Find the best recipe for each budget and corpus size."""
    from ...fitting import Fits
    from ...optimization import optimize

    batch = check_export(export, batch_size, sequence_length)
    loaded = Fits.load(fits)
    limits: dict[str, Any] = {
        name: arguments.bounds(f"--{name.replace('_', '-')}", text)
        for name, text in (
            ("n_params", n_params),
            ("epochs", epochs),
            ("target_ratio", target_ratio),
            ("final_ratio", final_ratio),
            ("stage_fraction", stage_fraction),
        )
    }
    limits |= {
        name: arguments.amount(f"--{name.replace('_', '-')}", text)
        for name, text in (
            ("max_total_tokens", max_total_tokens),
            ("max_source_tokens", max_source_tokens),
            ("max_gpu_hours", max_gpu_hours),
            ("flops_per_second", flops_per_second),
        )
    }
    limits |= {
        "ladder": None if ladder is None else arguments.amounts("--ladder", ladder),
        "inference_tokens": arguments.amount("--inference-tokens", inference_tokens) or 0.0,
        "source_fits": None if source_fits is None else Fits.load(source_fits),
    }
    use_cache()
    with progress_bar(as_json) as progress:
        found = optimize(
            loaded,
            compute=arguments.amounts("--compute", compute),
            target_tokens=arguments.amounts("--target-tokens", target_tokens),
            languages=language or None,
            objective=objective,
            certify=certify,
            first_share=first_share,
            min_first_ratio=min_first_ratio,
            max_source_epochs=max_source_epochs,
            max_source_loss=max_source_loss,
            extrapolate=extrapolate,
            draws=draws,
            level=level,
            progress=progress,
            **limits,
        )
    _write_recommendations(found, recipes, plan, batch)
    if export is not None:
        from ...export import write_export

        files = write_export(
            export_to, found, export, batch=batch, target_data=target_data, source_data=source_data
        )
    if as_json:
        print_json(found.records())
        return
    from ...output import show_recommendations

    show_recommendations(found)
    if export is not None:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        typer.echo(f"\nwritten to {export_to}: {files[0].name}{more}")


def _write_recommendations(
    found: Recommendations, recipes: Path | None, plan: Path | None, batch: Batch | None
) -> None:
    from ...export import write_plan, write_recipes

    if recipes is not None:
        write_recipes(recipes, found)
    if plan is not None:
        write_plan(plan, found, batch)
