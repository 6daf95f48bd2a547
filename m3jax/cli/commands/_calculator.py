"""The command `m3jax calculator`: a page that finds recipes, for who has no Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...options import Limits
from .._arguments import number
from .._derived import with_options
from .._interrupts import watch
from .._streams import remark

_DRAWS = 100  # as of `m3jax plan`
_PUBLIC = (
    "No run of your language stands behind this page: it is what six public run tables say of a"
    " further language, with wide intervals. Differences between recipes carry over better than"
    " losses do. A dozen small runs of your own make a better page."
)


@with_options(Limits)
def calculator_command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, an .html file.")],
    fits: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FITS]", help="A fit file; without one, what public run tables say."
        ),
    ] = None,
    compute: Annotated[
        str | None, typer.Option("--compute", "-c", help="Budget the page begins with (FLOP).")
    ] = None,
    target_tokens: Annotated[
        str | None,
        typer.Option("--target-tokens", "-t", help="Text at hand it begins with (tokens)."),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Heads the page.")] = "Recipe calculator",
    *,
    options: dict[str, Any],
) -> None:
    """Write one page that finds recipes where it is opened: sliders, intervals, figures.

    Without a fit file the page rests on public run tables, as m3jax plan does.

    Example: m3jax calculator fits.json -o calculator.html
    """
    from ...design import MOST_EPOCHS, MOST_TIMES_OPTIMAL
    from ...files import check_place
    from ...fitting import Evidence, Fits, fit_without_runs
    from ...output.html import write_calculator

    check_place(output)
    watch(output)
    how: dict[str, Any] = {
        "command": " ".join(["m3jax calculator", *map(str, [fits] * bool(fits)), "-o", str(output)])
    }
    if compute is not None:
        how["compute"] = number("--compute", compute)
    if target_tokens is not None:
        how["target_tokens"] = number("--target-tokens", target_tokens)
    if fits is None:
        how = {"compute": 1e21, "target_tokens": 1e9} | how
        loaded = fit_without_runs(Evidence.public(), "your language", draws=_DRAWS)
        options = {"epochs": (1.0, MOST_EPOCHS)} | options
        how |= {"objective": "mean_log", "times_optimal": MOST_TIMES_OPTIMAL, "notes": [_PUBLIC]}
    else:
        loaded = Fits.load(fits)
    write_calculator(output, loaded, limits=Limits(**options), title=title, **how)
    remark(f"written to {output}")
