"""The command `m3jax run`: everything from one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._common import Json, print_json, progress_bar, use_cache
from .._interrupts import saying_what_is_kept
from .._streams import remark


def run_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A .toml file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that are in the folder already.")
    ] = False,
    figures: Annotated[
        str | None, typer.Option("--figures", help="Also draw figures as files: png or svg.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Do it all from one file: read, fit, compare, optimize, report.

    Example: m3jax run configs/quickstart.toml
    """
    import dataclasses

    from ...pipeline import read_config, run

    settings = read_config(config)
    if output is not None:
        settings = dataclasses.replace(settings, output=output)
    if overwrite:
        settings = dataclasses.replace(settings, overwrite=True)
    if figures is not None:
        settings = dataclasses.replace(settings, figures=figures)
    use_cache()
    fits = settings.output / "fits.json"
    before = _content(fits)

    def kept() -> str:
        if _content(fits) != before:
            return f"all results are in {settings.output}"
        return f"nothing is written to {settings.output} yet; the same command begins anew"

    with saying_what_is_kept(kept), progress_bar(as_json) as progress:
        result = run(settings, progress=progress, command=f"m3jax run {config}")
    recommendations = result.recommendations
    if as_json:
        print_json(
            {
                "recipes": [] if recommendations is None else recommendations.records(),
                "scores": [score.to_dict() for score in result.scores],
                "files": [str(path) for path in result.files],
            }
        )
        return
    from ...output import show_diagnoses, show_fits, show_recommendations, show_scores

    show_fits(result.fits, result.runs.notes, brief=True)
    law, source = result.fits.law.name, result.runs.source
    show_diagnoses(result.diagnoses, law, source, brief=True)
    show_scores(result.scores)
    if recommendations is None:
        remark(f"no recipes: {config} has no [optimize]")
    else:
        show_recommendations(recommendations)
    remark(f"\nwritten to {settings.output}: {', '.join(p.name for p in result.files)}")


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
