"""The command `m3jax run`: everything from one TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .._common import Json, print_json, progress_bar, use_cache


def run_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A .toml file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Do it all from one file: read, fit, compare, optimize, draw, report."""
    import dataclasses

    from ...pipeline import read_config

    settings = read_config(config)
    if output is not None:
        settings = dataclasses.replace(settings, output=output)
    from ...pipeline import run

    use_cache()
    with progress_bar(as_json) as progress:
        outcome = run(settings, progress=progress)
    if as_json:
        print_json(
            {
                "recipes": outcome.recommendations.records(),
                "scores": [score.to_dict() for score in outcome.scores],
                "files": [str(path) for path in outcome.files],
            }
        )
        return
    from ...output import show_diagnoses, show_fits, show_recommendations, show_scores

    show_fits(outcome.fits, outcome.runs.notes, brief=True)
    law, source = outcome.fits.law.name, outcome.runs.source
    show_diagnoses(outcome.diagnoses, law, source, brief=True)
    show_scores(outcome.scores)
    show_recommendations(outcome.recommendations)
    typer.echo(f"\nwritten to {settings.output}: {', '.join(p.name for p in outcome.files)}")
