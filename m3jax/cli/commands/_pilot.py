"""The command `m3jax pilot`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..._errors import M3Error
from .. import _arguments as arguments
from .._common import Json, print_json, progress_bar, use_cache

if TYPE_CHECKING:
    from ...pilot import PilotPlan, PilotResult

# One of these says how much to train.
_AMOUNTS = ("budget", "minutes", "recipes")


def pilot_command(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="Text of the scarce language; or a .toml file."),
    ],
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[SOURCE]", help="Text of the abundant language."),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", "-l", help="Name of the scarce language.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run table, a .csv file; added to if it is there."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="FLOP for each language, 6·N·D summed over runs: 2e13")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Instead: what this machine does in so many minutes.")
    ] = None,
    recipes: Annotated[
        Path | None,
        typer.Option(help="Instead: train these recipes, a .csv file (`m3jax optimize --recipes`)"),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each of --recipes. [3]")] = None,
    runs: Annotated[int | None, typer.Option(help="At most so many runs a language. [100]")] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="A Hugging Face tokenizers file; bytes without one.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or auto: bfloat16 on accelerators. [auto]")
    ] = None,
    ensemble: Annotated[
        int | None, typer.Option(min=1, help="Models trained as one; chosen by the device.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of these at a time. [the cores of a CPU]")
    ] = None,
    max_overlap: Annotated[
        float | None,
        typer.Option(help="Share of the target text that may stand in the source too. [0.2]"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed, other runs. [0]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; train and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train small models on two texts to make a run table; called again, train what is missing.

    Text is anything: bytes are the tokens. Everything can also come from one file: m3jax pilot
    CONFIG.toml, to which the options above are then added.
    """
    from ...pilot import carry_out, prepare, read_pilot_config, recipes_from

    settings: dict[str, Any]
    if target.suffix == ".toml":
        if source is not None or language is not None:
            raise M3Error(f"{target}: names the texts itself; give no SOURCE or --language with it")
        settings = read_pilot_config(target)
    else:
        if source is None or language is None or output is None:
            raise M3Error("expected TARGET SOURCE --language NAME -o runs.csv, or a .toml file")
        settings = {"targets": {language: target}, "source": source}
    given = {
        "output": output,
        "budget": arguments.amount("--budget", budget),
        "minutes": minutes,
        "recipes": recipes,
        "seeds": seeds,
        "runs": runs,
        "tokenizer": tokenizer,
        "precision": precision,
        "ensemble": ensemble,
        "max_overlap": max_overlap,
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if any(name in given for name in _AMOUNTS):
        settings = {name: v for name, v in settings.items() if name not in _AMOUNTS}
    settings |= given
    if sum(name in settings for name in _AMOUNTS) != 1:
        raise M3Error("expected one of --budget, --minutes and --recipes")
    if "recipes" in settings:
        settings["recipes"] = recipes_from(settings["recipes"])
    together = settings.pop("ensemble", None)

    use_cache()
    plan = prepare(**settings)
    if dry_run:
        _show_plan(plan, as_json)
        return
    if not as_json:
        _say(plan)
    with progress_bar(as_json) as progress:
        outcome = carry_out(plan, ensemble=together, workers=workers, progress=progress)
    if as_json:
        print_json({**dataclasses.asdict(outcome), "output": str(outcome.output)})
    else:
        _show_outcome(outcome)


def _say(plan: PilotPlan) -> None:
    """Before hours of work, what it will be; on standard error."""
    for language, card in plan.cards.items():
        typer.echo(
            f"{language}: {card['target']['training_tokens']} target and"
            f" {card['source']['training_tokens']} source tokens to train on,"
            f" {card['overlap']:.1%} of the target text is in the source too",
            err=True,
        )
    typer.echo(f"{len(plan.trials)} runs, {plan.compute:.3g} FLOP", err=True)
    sys.stderr.flush()


def _show_plan(plan: PilotPlan, as_json: bool) -> None:
    groups = plan.groups()
    if as_json:
        print_json({"runs": len(plan.trials), "compute": plan.compute, "groups": groups})
        return
    from ...output import show_pilot_plan

    show_pilot_plan(groups)


def _show_outcome(outcome: PilotResult) -> None:
    typer.echo(
        f"{outcome.output}: {outcome.planned - len(outcome.diverged)} of {outcome.planned} runs"
        f" ({outcome.trained} trained now in {outcome.seconds:.0f} s, {outcome.kept} before)"
    )
    for language, noise in outcome.noise.items():
        if noise is not None:
            typer.echo(
                f"{language}: seeds differ by {noise:.2%} (sd of the loss,"
                f" {outcome.repeats[language]} degrees of freedom)"
            )
    if outcome.diverged:
        typer.echo(
            f"without a finite loss, not in the table: {', '.join(outcome.diverged)}", err=True
        )
