"""The command line: `m3jax fit | predict | diagnose | optimize | map | run | laws`.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _arguments as arguments
from ._cli_common import FitFile, Json, Language, print_json, progress_bar, use_cache
from ._cli_fit import diagnose_command, fit_command, predict_command
from ._cli_map import map_command
from ._errors import M3Error
from ._version import __version__

if TYPE_CHECKING:
    from .optimization import Recommendations

# Newer versions of typer carry their own click: take the exceptions from typer itself.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="m3jax",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=(
        "From a table of small training runs to the best recipe for a low-resource language: model"
        " size, epochs, target-language ratio, and whether to concentrate the target language in a"
        " final stage.\n\nStart with: m3jax run configs/quickstart.toml"
    ),
)


def main() -> None:
    """Entry point: bad input ends with one line on standard error and exit code 2."""
    typed = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(typed) < len(sys.argv[1:])  # anywhere on the line
    try:
        # 130 is what newer versions of typer make of Ctrl-C.
        if app(typed, standalone_mode=False) == 130:
            _fail("interrupted", 130)
    except M3Error as error:
        if debug:
            raise
        _fail(str(error))
    except _UsageError as error:
        # Called without a command: typer raises the help text as an error.
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
            sys.exit(2)
        _fail(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)


def _fail(message: str, code: int = 2) -> None:
    # One line, whatever a parser or an array put into the message.
    typer.echo(f"m3jax: error: {' '.join(message.split())}", err=True)
    sys.exit(code)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"m3jax {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command("fit")(fit_command)
app.command("predict")(predict_command)
app.command("diagnose")(diagnose_command)
app.command("map")(map_command)


@app.command("optimize")
def optimize_command(
    fits: FitFile,
    compute: Annotated[str, typer.Option("--compute", "-c", help="Budget(s) in FLOP: 1e20,1e21")],
    target_tokens: Annotated[
        str, typer.Option("--target-tokens", "-t", help="Unique target tokens: 30M,100M")
    ],
    language: Language = None,
    n_params: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    epochs: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    target_ratio: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    final_ratio: Annotated[str | None, typer.Option(help="Bounds LOW,HIGH")] = None,
    stage_fraction: Annotated[
        str | None, typer.Option(help="Bounds LOW,HIGH of the final stage's share of tokens")
    ] = None,
    first_share: Annotated[
        float | None, typer.Option(help="Ratio before the final stage, over the average ratio.")
    ] = None,
    max_total_tokens: Annotated[str | None, typer.Option(help="Cap on training tokens.")] = None,
    max_source_tokens: Annotated[
        str | None, typer.Option(help="Unique source tokens there are.")
    ] = None,
    max_source_epochs: Annotated[
        float, typer.Option(help="How often source tokens may be read.")
    ] = 1.0,
    ladder: Annotated[
        str | None, typer.Option(help="The only model sizes that can be trained: 70M,160M,410M")
    ] = None,
    min_first_ratio: Annotated[
        float | None, typer.Option(help="Lowest target ratio before the final stage.")
    ] = None,
    inference_tokens: Annotated[
        str | None, typer.Option(help="Tokens to be served, paid from the budget at 2N FLOP each.")
    ] = None,
    max_gpu_hours: Annotated[str | None, typer.Option(help="Cap on training time.")] = None,
    flops_per_second: Annotated[
        str | None, typer.Option(help="FLOP/s that one GPU achieves, for --max-gpu-hours.")
    ] = None,
    source_fits: Annotated[
        Path | None, typer.Option(help="Fit file of the same runs' losses on source text.")
    ] = None,
    max_source_loss: Annotated[
        float | None, typer.Option(help="Cap on the loss on source text, for --source-fits.")
    ] = None,
    objective: Annotated[
        str, typer.Option(help="point, or over the draws: mean, quantile, regret.")
    ] = "point",
    certify: Annotated[
        bool, typer.Option("--certify", help="Prove each recipe best, by branch and bound.")
    ] = False,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Vary what the runs say nothing about, too.")
    ] = False,
    draws: Annotated[int, typer.Option(help="Bootstrap draws to use for intervals.")] = 100,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    recipes: Annotated[
        Path | None, typer.Option("--recipes", help="Write the recipes to this .csv file.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Write the training plan to this .json file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the best recipe for each budget and corpus size."""
    from .fitting import Fits
    from .optimization import optimize

    loaded = Fits.load(fits)
    limits: dict[str, Any] = {
        name: arguments.bounds(f"--{name.replace('_', '-')}", text)
        for name, text in (
            ("n_params", n_params),
            ("epochs", epochs),
            ("target_ratio", target_ratio),
            ("final_ratio", final_ratio),
            ("stage_fraction", stage_fraction),
        )
    }
    limits |= {
        name: arguments.amount(f"--{name.replace('_', '-')}", text)
        for name, text in (
            ("max_total_tokens", max_total_tokens),
            ("max_source_tokens", max_source_tokens),
            ("max_gpu_hours", max_gpu_hours),
            ("flops_per_second", flops_per_second),
        )
    }
    limits |= {
        "ladder": None if ladder is None else arguments.amounts("--ladder", ladder),
        "inference_tokens": arguments.amount("--inference-tokens", inference_tokens) or 0.0,
        "source_fits": None if source_fits is None else Fits.load(source_fits),
    }
    use_cache()
    with progress_bar(as_json) as progress:
        found = optimize(
            loaded,
            compute=arguments.amounts("--compute", compute),
            target_tokens=arguments.amounts("--target-tokens", target_tokens),
            languages=language or None,
            objective=objective,
            certify=certify,
            first_share=first_share,
            min_first_ratio=min_first_ratio,
            max_source_epochs=max_source_epochs,
            max_source_loss=max_source_loss,
            extrapolate=extrapolate,
            draws=draws,
            level=level,
            progress=progress,
            **limits,
        )
    _write_recommendations(found, recipes, plan)
    if as_json:
        print_json(found.records())
    else:
        from ._terminal import show_recommendations

        show_recommendations(found)


def _write_recommendations(found: Recommendations, recipes: Path | None, plan: Path | None) -> None:
    from .export import write_plan, write_recipes

    if recipes is not None:
        write_recipes(recipes, found)
    if plan is not None:
        write_plan(plan, found)


@app.command("run")
def run_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A .toml file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Do it all from one file: read, fit, compare, optimize, draw, report."""
    import dataclasses

    from .config import read_config

    settings = read_config(config)
    if output is not None:
        settings = dataclasses.replace(settings, output=output)
    from .pipeline import run

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
    from ._terminal import show_diagnoses, show_fits, show_recommendations, show_scores

    show_fits(outcome.fits, outcome.runs.notes, brief=True)
    law, source = outcome.fits.law.name, outcome.runs.source
    show_diagnoses(outcome.diagnoses, law, source, brief=True)
    show_scores(outcome.scores)
    show_recommendations(outcome.recommendations)
    typer.echo(f"\nwritten to {settings.output}: {', '.join(p.name for p in outcome.files)}")


@app.command()
def laws(as_json: Json = False) -> None:
    """List the scaling laws, with formula and source."""
    from .laws import get_law, list_laws

    known = [get_law(name) for name in list_laws()]
    if as_json:
        print_json(
            [
                {
                    "name": law.name,
                    "formula": law.formula,
                    "source": law.source,
                    "coefficients": list(law.names),
                    "published": {k: dict(v) for k, v in law.published.items()},
                }
                for law in known
            ]
        )
        return
    for law in known:
        typer.echo(f"{law.name}\n  {law.formula}\n  {law.source}\n")


if __name__ == "__main__":
    main()
