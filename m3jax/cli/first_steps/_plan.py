"""The command `m3jax plan`: the best recipe for a language that has no runs yet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...options import PlanOptions
from .._common import Json, print_json, progress_bar
from .._derived import with_options
from .._interrupts import watch
from .._streams import remark

Name = Annotated[str, typer.Option("--language", "-l", help="Name of the language, for people.")]


@with_options(PlanOptions)
def plan_command(
    *,
    options: dict[str, Any],
    language: Name = "target",
    fits: Annotated[
        Path | None,
        typer.Option(
            "--fits", help="Write what it rests on as a fit file, for the other commands."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what to train before there are any runs, from what public run tables say.

    Example: m3jax plan -c 1e21 -t 2B --source-tokens 1T
    """
    from ...files import check_place
    from ...planning import plan

    if fits is not None:
        check_place(fits)
        watch(fits)
    with progress_bar(as_json) as progress:
        answer = plan(language=language, progress=progress, **options)
    if fits is not None:
        answer.fits.save(fits)
    if as_json:
        print_json(answer.to_dict())
        return
    from ...output import show_plan

    show_plan(answer)
    if fits is not None:
        remark(f"\nwritten to {fits}")
