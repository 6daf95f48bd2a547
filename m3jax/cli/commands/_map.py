"""The command `m3jax map`: which regime is best over compute and corpus size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import _arguments as arguments
from .._common import FitFile, Json, Language, print_json, progress_bar, use_cache

if TYPE_CHECKING:
    from ...optimization import RegimeMap


def map_command(
    fits: FitFile,
    compute: Annotated[
        str, typer.Option("--compute", "-c", help="Lowest and highest budget in FLOP: 1e19,1e21")
    ],
    target_tokens: Annotated[
        str,
        typer.Option(
            "--target-tokens", "-t", help="Lowest and highest unique target tokens: 10M,10B"
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the tables and figures.")
    ],
    language: Language = None,
    budgets: Annotated[int, typer.Option(help="Budgets of the map.")] = 13,
    sizes: Annotated[int, typer.Option(help="Corpus sizes of the map.")] = 33,
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
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Vary what the runs say nothing about, too.")
    ] = False,
    draws: Annotated[int, typer.Option(help="Bootstrap draws to use for intervals.")] = 50,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    as_json: Json = False,
) -> None:
    """Map the best regime over compute and corpus size, and judge two guidelines by your fit.

    Writes map.csv (the grid), thresholds.csv (where the best regime changes), epochs.csv (best
    epochs against D_T / D*) and, with matplotlib, a figure for each language.
    """
    from ...fitting import Fits
    from ...optimization import regime_map

    ends: dict[str, Any] = {
        "compute": arguments.bounds("--compute", compute),
        "target_tokens": arguments.bounds("--target-tokens", target_tokens),
    }
    given: dict[str, Any] = {
        name: arguments.bounds(f"--{name.replace('_', '-')}", text)
        for name, text in (
            ("n_params", n_params),
            ("epochs", epochs),
            ("target_ratio", target_ratio),
            ("final_ratio", final_ratio),
            ("stage_fraction", stage_fraction),
        )
    }
    given |= {
        name: arguments.amount(f"--{name.replace('_', '-')}", text)
        for name, text in (
            ("max_total_tokens", max_total_tokens),
            ("max_source_tokens", max_source_tokens),
        )
    }
    loaded = Fits.load(fits)
    use_cache()
    maps = []
    with progress_bar(as_json) as progress:
        for name in language or loaded.languages:
            maps.append(
                regime_map(
                    loaded,
                    name,
                    **ends,
                    budgets=budgets,
                    sizes=sizes,
                    draws=draws,
                    level=level,
                    extrapolate=extrapolate,
                    first_share=first_share,
                    progress=progress,
                    **given,
                )
            )
    files = _write(output, maps)
    if as_json:
        summary = [found.summary() for found in maps]
        print_json({"maps": summary, "files": [str(path) for path in files]})
        return
    from ...output import show_map

    for found in maps:
        show_map(found)
    typer.echo(f"\nwritten to {output}: {', '.join(path.name for path in files)}")


def _write(folder: Path, maps: list[RegimeMap]) -> list[Path]:
    from ...files import write_bytes, write_csv

    tables = {
        "map.csv": [row for found in maps for row in found.records()],
        "thresholds.csv": [row for found in maps for row in found.thresholds()],
        "epochs.csv": [row for found in maps for row in found.curves()],
    }
    files = [write_csv(folder / name, rows) for name, rows in tables.items() if rows]
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return files
    from ...output.figures import regime_map, to_png

    for i, found in enumerate(maps, 1):
        name = "map.png" if len(maps) == 1 else f"map_{i:0{len(str(len(maps)))}d}.png"
        files.append(write_bytes(folder / name, to_png(regime_map(found))))
    return files
