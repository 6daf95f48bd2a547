"""The command `m3jax map`: which regime is best over compute and corpus size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...options import MapOptions
from .._common import FitFile, Json, Language, print_json, progress_bar, use_cache
from .._derived import with_options
from .._interrupts import watch
from .._streams import remark

if TYPE_CHECKING:
    from ...optimization import RegimeMap


@with_options(MapOptions)
def map_command(
    fits: FitFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the tables and figures.")
    ],
    language: Language = None,
    *,
    options: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Map the best regime over compute and corpus size, and judge two guidelines by your fit.

    Writes map.csv (the grid), thresholds.csv (where the best regime changes), epochs.csv (best
    epochs against D_T / D*) and, with matplotlib, a figure for each language.

    Example: m3jax map fits.json -c 1e19,1e21 -t 10M,10B -o out/map
    """
    from ...files import check_place
    from ...fitting import Fits
    from ...optimization import map_regimes

    for name in ("map.csv", "map.png"):
        check_place(output / name)
    watch(output / "map.csv")
    loaded = Fits.load(fits)
    use_cache()
    with progress_bar(as_json) as progress:
        maps = [
            map_regimes(loaded, name, progress=progress, **options)
            for name in language or loaded.languages
        ]
    files = _write(output, maps)
    if as_json:
        summaries = [regime_map.summary() for regime_map in maps]
        print_json({"maps": summaries, "files": [str(path) for path in files]})
        return
    from ...output import show_map

    for regime_map in maps:
        show_map(regime_map)
    remark(f"\nwritten to {output}: {', '.join(path.name for path in files)}")


def _write(folder: Path, maps: list[RegimeMap]) -> tuple[Path, ...]:
    from ...files import csv_text, encoded, write_folder

    tables = {
        "map.csv": [row for regime_map in maps for row in regime_map.records()],
        "thresholds.csv": [row for regime_map in maps for row in regime_map.thresholds()],
        "epochs.csv": [row for regime_map in maps for row in regime_map.curves()],
    }
    files = {folder / name: encoded(csv_text(rows)) for name, rows in tables.items() if rows}
    return write_folder(files | {folder / name: png for name, png in _pictures(maps).items()})


def _pictures(maps: list[RegimeMap]) -> dict[str, bytes]:
    """File name -> PNG, of each map; none without matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return {}
    from ...output.figures import draw_regime_map, to_png

    digits = len(str(len(maps)))
    names = (
        ["map.png"] if len(maps) == 1 else [f"map_{i + 1:0{digits}d}.png" for i in range(len(maps))]
    )
    return {
        name: to_png(draw_regime_map(regime_map))
        for name, regime_map in zip(names, maps, strict=True)
    }
