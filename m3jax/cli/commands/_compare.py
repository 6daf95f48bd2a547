"""The command `m3jax compare`: which law predicts runs that it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..._errors import M3Error
from ...options import CompareOptions, TableOptions
from .. import _arguments as arguments
from .._common import (
    Json,
    Table,
    print_json,
    progress_bar,
    read_table,
    read_table_of,
    use_cache,
)
from .._derived import with_options
from .._interrupts import watch
from .._streams import remark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...comparison import HeldOut, Score
    from ...runs import RunTable


@with_options(CompareOptions)
@with_options(TableOptions, parameter="reading")
def compare_command(
    table: Table,
    laws: Annotated[
        str, typer.Option(help="Laws to compare: all, or m3,chinchilla; `m3jax laws` lists them.")
    ] = "all",
    *,
    reading: dict[str, Any],
    options: dict[str, Any],
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            help="Read the table as this fit's was: its names, units and rows, where they are not"
            " given here.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page with figures to this .html file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit laws without some of the runs, and see which of them predicts those best.

    Example: m3jax compare runs.csv --laws m3,chinchilla --holdout compute,epochs
    """
    from ...comparison import predict_held_out, score
    from ...fitting import Fits

    if report is not None and report.suffix != ".html":
        raise M3Error(f"{report}: expected a file name ending in .html")
    if report is not None:
        from ...files import check_place
        from ...output.figures import new_figure

        check_place(report)
        watch(report)
        new_figure(1, 1, "")  # without matplotlib, fail before the work and not after
    chosen = CompareOptions.of(**options)
    law_names = arguments.names("--laws", laws)
    if like is None:
        runs = read_table(table, reading)
    else:
        runs = read_table_of(Fits.load(like), table, reading)
    use_cache()
    with progress_bar(as_json) as progress:
        held_out = predict_held_out(runs, law_names, progress=progress, **options)
    scores = score(runs, held_out, huber_delta=chosen.huber_delta, seed=chosen.seed)
    if report is not None:
        _write_report(report, runs, held_out, scores, chosen.seed)
    if as_json:
        print_json([score.to_dict() for score in scores])
        return
    from ...output import show_scores

    show_scores(scores, runs.notes)
    if report is not None:
        remark(f"\nwritten: {report}", error=True)


def _write_report(
    path: Path,
    runs: RunTable,
    held_out: Sequence[HeldOut],
    scores: Sequence[Score],
    seed: int,
) -> None:
    from ...comparison import stacking_weights
    from ...output.figures import comparison_figures, to_png
    from ...output.html import write_comparison

    weights = {}
    for language in runs.languages:
        try:
            weights[language] = stacking_weights(runs, held_out, language, seed=seed)
        except M3Error:
            continue  # the tables say why
    pictures = comparison_figures(runs, held_out).values()
    write_comparison(
        path,
        title=f"Laws compared: {runs.source}",
        scores=scores,
        figures={caption: to_png(figure) for caption, figure in pictures},
        weights=weights,
        notes=runs.notes,
    )
