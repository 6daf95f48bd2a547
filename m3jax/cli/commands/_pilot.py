"""The command `m3jax pilot`: train small models on two texts to make a run table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..._errors import M3Error
from ..._progress import is_quiet
from ...options import PilotOptions
from .._common import Json, print_json, progress_bar, use_cache
from .._derived import with_options
from .._interrupts import saying_what_is_kept

if TYPE_CHECKING:
    from ...pilot import PilotPlan

# One of these says how much to train.
_AMOUNTS = ("budget", "minutes", "recipes")


@with_options(PilotOptions)
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
    *,
    options: dict[str, Any],
    ensemble: Annotated[
        int | None, typer.Option(min=1, help="Models trained as one; chosen by the device.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Of these at a time. [the cores of a CPU]")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; train and write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train small models on two texts to make a run table; called again, train what is missing.

    Text is anything: bytes are the tokens. Everything can also come from one file: m3jax pilot
    CONFIG.toml, to which the options above are then added.

    Example: m3jax pilot id.txt en.txt --language Indonesian -o runs.csv --minutes 60
    """
    from ...output import announce_pilot, show_pilot_result
    from ...pilot import carry_out, prepare

    settings = _settings(target, source, language, output)
    if ensemble is not None:
        settings["ensemble"] = ensemble
    if any(name in options for name in _AMOUNTS):
        settings = {name: v for name, v in settings.items() if name not in _AMOUNTS}
    settings |= options
    if sum(name in settings for name in _AMOUNTS) != 1:
        raise M3Error("expected one of --budget, --minutes and --recipes")
    together = settings.pop("ensemble", None)

    use_cache()
    plan = prepare(**settings)
    if dry_run:
        _show_plan(plan, as_json)
        return
    if not (as_json or is_quiet()):
        announce_pilot(plan)
    with saying_what_is_kept(lambda: _kept(plan)), progress_bar(as_json) as progress:
        result = carry_out(plan, ensemble=together, workers=workers, progress=progress)
    if as_json:
        print_json({**dataclasses.asdict(result), "output": str(result.output)})
    else:
        show_pilot_result(result)


def _settings(
    target: Path, source: Path | None, language: str | None, output: Path | None
) -> dict[str, Any]:
    """The texts and the table, from a file or from the command line."""
    from ...pilot import read_pilot_config

    settings: dict[str, Any]
    if target.suffix == ".toml":
        if source is not None or language is not None:
            raise M3Error(f"{target}: names the texts itself; give no SOURCE or --language with it")
        settings = read_pilot_config(target)
        return settings if output is None else settings | {"output": output}
    if source is None or language is None or output is None:
        raise M3Error("expected TARGET SOURCE --language NAME -o runs.csv, or a .toml file")
    return {"targets": {language: target}, "source": source, "output": output}


def _kept(plan: PilotPlan) -> str:
    from ...pilot import read_rows

    finished = {row["run_id"] for row in read_rows(plan.output)}
    count = len(finished.intersection(plan.run_ids))
    return (
        f"{count} of {len(plan.run_ids)} runs are kept in {plan.output};"
        " the same command goes on from there"
    )


def _show_plan(plan: PilotPlan, as_json: bool) -> None:
    from ...output import show_pilot_plan

    groups = plan.groups()
    if as_json:
        print_json({"runs": len(plan.trials), "compute": plan.compute, "groups": groups})
    else:
        show_pilot_plan(groups)
