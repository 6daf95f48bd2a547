"""The command that compares laws: `m3jax compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..._errors import M3Error
from .. import _arguments as arguments
from .._common import (
    DropHighest,
    Json,
    Map,
    Table,
    Units,
    print_json,
    progress_bar,
    read_table,
    use_cache,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...comparison import HeldOut, Score
    from ...runs import RunTable


def compare_command(
    table: Table,
    laws: Annotated[
        str, typer.Option(help="Laws to compare: all, or m3,chinchilla; `m3jax laws` lists them.")
    ] = "all",
    holdout: Annotated[
        str,
        typer.Option(
            help="What to hold out: compute, n_params, total_tokens, epochs (the highest),"
            " target_tokens, target_ratio (the lowest), two-stage, folds, language. May be a list."
        ),
    ] = "compute",
    columns: Map = None,
    units: Units = None,
    drop_highest: DropHighest = 0,
    fraction: Annotated[float, typer.Option(help="Share of the runs that is held out.")] = 0.2,
    huber_delta: Annotated[
        float, typer.Option(help="Residuals in log loss beyond this count linearly.")
    ] = 1e-3,
    starts: Annotated[int, typer.Option(help="Descents for each fit.")] = 8,
    prior: Annotated[
        str, typer.Option(help="weak: keeps the undecided sane; none; or your own .json file.")
    ] = "weak",
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page with figures to this .html file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit laws without some of the runs, and see which of them predicts those best."""
    from ...comparison import predict_held_out, score

    if report is not None and report.suffix != ".html":
        raise M3Error(f"{report}: expected a file name ending in .html")
    if report is not None:
        from ...output.figures import new_figure

        new_figure(1, 1, "")  # without matplotlib, fail before the work and not after
    holdouts = arguments.names("--holdout", holdout)
    chosen = arguments.names("--laws", laws)
    runs = read_table(table, columns, units, drop_highest)
    use_cache()
    with progress_bar(as_json) as progress:
        found = predict_held_out(
            runs,
            chosen,
            holdouts=holdouts,
            fraction=fraction,
            huber_delta=huber_delta,
            starts=starts,
            prior=prior,
            seed=seed,
            progress=progress,
        )
    scores = score(runs, found, huber_delta=huber_delta, seed=seed)
    if report is not None:
        _write_report(report, runs, found, scores, seed)
    if as_json:
        print_json([one.to_dict() for one in scores])
        return
    from ...output import show_scores

    show_scores(scores)
    if report is not None:
        typer.echo(f"\nwritten: {report}", err=True)


def _write_report(
    path: Path, runs: RunTable, found: Sequence[HeldOut], scores: Sequence[Score], seed: int
) -> None:
    from ...comparison import stacking_weights
    from ...output import write_comparison
    from ...output.figures import comparison_figures, to_png

    weights = {}
    for language in runs.languages:
        try:
            weights[language] = stacking_weights(runs, found, language, seed=seed)
        except M3Error:
            continue  # the tables say why
    pictures = comparison_figures(runs, found).values()
    write_comparison(
        path,
        title=f"Laws compared: {runs.source}",
        scores=scores,
        figures={caption: to_png(figure) for caption, figure in pictures},
        weights=weights,
        notes=runs.notes,
    )
