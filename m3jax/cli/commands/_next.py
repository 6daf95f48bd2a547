"""The command `m3jax next`: the further small runs that would sharpen the recommendation most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...options import Limits, NextOptions
from .. import _arguments as arguments
from .._common import FitFile, Json, Language, print_json, progress_bar, use_cache
from .._derived import with_options

if TYPE_CHECKING:
    from ...design import NextRuns

# The limits of the recipe to be decided on have the names of the runs' ranges; only one is asked.
_LIMITS = tuple(name for name in Limits.names() if name != "ladder")


@with_options(NextOptions, but=_LIMITS)
def next_command(
    fits: FitFile,
    language: Language = None,
    *,
    options: dict[str, Any],
    n_params: Annotated[str | None, typer.Option(help="Range LOW,HIGH of the runs.")] = None,
    unique_tokens: Annotated[
        str | None, typer.Option(help="Range LOW,HIGH of the runs' unique target tokens.")
    ] = None,
    epochs: Annotated[str | None, typer.Option(help="Range LOW,HIGH of the runs.")] = None,
    target_ratio: Annotated[str | None, typer.Option(help="Range LOW,HIGH of the runs.")] = None,
    stage_fraction: Annotated[
        str | None, typer.Option(help="Range LOW,HIGH of two-stage runs' final stage.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the run sheet to this .csv or .json file."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose the further small runs that would sharpen the recommendation most.

    Example: m3jax next fits.json --budget 1e18 --runs 8 -o sheet.csv
    """
    from ...design import next_runs, write_sheet
    from ...fitting import Fits

    loaded = Fits.load(fits)
    loaded.require_any()
    ranges = {
        name: arguments.bounds(flag, text)
        for name, flag, text in (
            ("n_params", "--n-params", n_params),
            ("target_tokens", "--unique-tokens", unique_tokens),
            ("epochs", "--epochs", epochs),
            ("target_ratio", "--target-ratio", target_ratio),
            ("stage_fraction", "--stage-fraction", stage_fraction),
        )
        if text is not None
    }
    use_cache()
    with progress_bar(as_json) as progress:
        sheets = [
            next_runs(loaded, language=name, ranges=ranges, progress=progress, **options)
            for name in language or loaded.languages
        ]
    if output is not None:
        write_sheet(output, sheets)
    if as_json:
        print_json([sheet.to_dict() for sheet in sheets])
        return
    _show(sheets)
    if output is not None:
        typer.echo(f"\nwritten to {output}: train these, fill in `loss`, add them to your table")


def _show(found: Sequence[NextRuns]) -> None:
    from rich.markup import escape

    from ... import formatting as fmt
    from ...output import SHORT, new_table, open_console, say

    console = open_console()
    for one in found:
        columns = [
            "run", "model\nparams", "unique\ntokens", "epochs\n", "target\nratio",
            "final\n(stage)", "total\ntokens", "compute\nFLOP", "predicted\nloss", "worth\n",
            "regime\n",
        ]  # fmt: skip
        table = new_table(f"Next runs for {escape(one.language)}", columns, tight=True)
        table.columns[-1].justify = "left"
        for row in one.records():
            loss, spread = row["predicted_loss"], row["predicted_spread"]
            two = row["stage_fraction"] < 1
            table.add_row(
                escape(row["run_id"]),
                fmt.count(row["n_params"]),
                fmt.count(row["target_tokens"]),
                fmt.ratio(row["epochs"]),
                fmt.ratio(row["target_ratio"]),
                f"{row['final_ratio']:.2f} ({row['stage_fraction']:.0%})" if two else "same",
                fmt.count(row["total_tokens"]),
                fmt.flop(row["compute"]),
                f"{loss:.3f} ± {loss * spread:.3f}",
                f"{row['worth']:.0%}",
                SHORT[row["regime"]],
            )
        console.print(table)
        spent = sum(row["compute"] for row in one.records())
        console.print(
            f"  {spent:.3g} of {one.budget:.3g} FLOP. Expected regret of the recipe, nats/token:"
            f" {one.regret_now:.2g} now, {one.regret_after:.2g} after these runs,"
            f" {one.regret_random:.2g} after as dear random ones.",
            soft_wrap=True,
        )
        console.print(
            f"  Information on the coefficients (log det): +{one.information:.1f}, random runs"
            f" +{one.information_random:.1f}. Noise reckoned with: {one.noise:.2%}.",
            soft_wrap=True,
        )
        say(console, one.notes)
