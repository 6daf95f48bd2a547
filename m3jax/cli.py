"""The command line: `m3jax fit | predict | optimize | run | laws`.

Everything heavy is imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _arguments as arguments
from ._errors import M3Error
from ._progress import Progress
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


Json = Annotated[
    bool, typer.Option("--json", help="Print JSON to standard output, and nothing else there.")
]
Table = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Run table: .csv, .jsonl or .parquet.")
]
FitFile = Annotated[
    Path, typer.Argument(metavar="FITS", help="Fit file written by `m3jax fit -o`.")
]
Map = Annotated[
    str | None,
    typer.Option("--map", help="Your column names: n_params=params,loss=val_loss", metavar="A=B,…"),
]
Units = Annotated[
    str | None,
    typer.Option(
        "--units", help="Units of columns: n_params=M,loss=bits, or a factor", metavar="A=U,…"
    ),
]
Language = Annotated[
    list[str] | None,
    typer.Option("--language", "-l", help="Only this language; may be given again."),
]


@app.command("fit")
def fit_command(
    table: Table,
    law: Annotated[str, typer.Option(help="Scaling law; `m3jax laws` lists them.")] = "m3",
    columns: Map = None,
    units: Units = None,
    drop_highest: Annotated[
        int, typer.Option(help="Leave out so many runs with the highest losses.")
    ] = 0,
    fix: Annotated[
        str | None, typer.Option(help="Hold coefficients: alpha=0.35,E=1.8", metavar="NAME=V,…")
    ] = None,
    huber_delta: Annotated[
        float, typer.Option(help="Residuals in log loss beyond this count linearly.")
    ] = 1e-3,
    starts: Annotated[int, typer.Option(help="Random starts for each language.")] = 96,
    draws: Annotated[int, typer.Option(help="Bootstrap draws for intervals; 0 for none.")] = 200,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    prior: Annotated[
        str, typer.Option(help="weak: keeps what the runs do not decide sane; none: leaves it.")
    ] = "weak",
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the fits to this .json file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a scaling law to every language of a run table."""
    from .fitting import fit
    from .runs import RunTable

    if output is not None and output.suffix != ".json":
        raise M3Error(f"{output}: expected a file name ending in .json")
    mapping = arguments.pairs("--map", columns)
    runs = RunTable.read(table, columns=mapping, units=arguments.units(units)).drop_highest(
        drop_highest
    )
    _use_cache()
    with _progress(as_json) as progress:
        fits = fit(
            runs,
            law,
            fixed=arguments.numbers("--fix", fix),
            huber_delta=huber_delta,
            starts=starts,
            draws=draws,
            level=level,
            prior=prior,
            seed=seed,
            progress=progress,
        )
    if output is not None and fits.languages:
        fits.save(output)
    if as_json:
        _print_json(fits.to_dict())
    else:
        from ._terminal import show_fits

        show_fits(fits, runs.notes)
        if output is not None and fits.languages:
            typer.echo(f"\nwritten: {output}, {output.with_suffix('.npz')}", err=True)
    fits.require_any()


@app.command()
def predict(
    fits: FitFile,
    n_params: Annotated[str, typer.Option(help="Model size(s), parameters: 124M")],
    target_tokens: Annotated[str, typer.Option(help="Unique target tokens: 100M")],
    epochs: Annotated[str, typer.Option(help="Passes over the target corpus.")],
    target_ratio: Annotated[str, typer.Option(help="Share of tokens in the target.")] = "1",
    final_ratio: Annotated[
        str | None, typer.Option(help="Share in the final stage; default the same.")
    ] = None,
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Predict the loss of recipes, with intervals. Values may be lists: 10M,100M."""
    import numpy as np

    from .fitting import Fits
    from .fitting import interval as span
    from .recipe import Recipe

    given = {
        "n_params": arguments.amounts("--n-params", n_params),
        "target_tokens": arguments.amounts("--target-tokens", target_tokens),
        "epochs": arguments.amounts("--epochs", epochs),
        "target_ratio": arguments.amounts("--target-ratio", target_ratio),
    }
    if final_ratio is not None:
        given["final_ratio"] = arguments.amounts("--final-ratio", final_ratio)
    longest = max(len(v) for v in given.values())
    for name, values in given.items():
        if len(values) not in (1, longest):
            raise M3Error(
                f"{name}: expected 1 or {longest} values, as many as the longest list, got"
                f" {len(values)}"
            )
    recipe = Recipe.create(**{name: np.asarray(v) for name, v in given.items()})
    loaded = Fits.load(fits)
    _use_cache()
    rows: list[dict[str, Any]] = []
    for name in language or loaded.languages:
        value = np.atleast_1d(loaded.predict(recipe, name))
        drawn = loaded.predict_draws(recipe, name)
        low, high = span(drawn, loaded.settings["level"]) if len(drawn) else (None, None)
        for i in range(len(value)):
            row: dict[str, Any] = {"language": name}
            row |= {field: float(leaf[i]) for field, leaf in vars(recipe).items()}
            row |= {"compute": float(np.asarray(recipe.compute)[i]), "loss": float(value[i])}
            row["loss_low"] = None if low is None else float(low[i])
            row["loss_high"] = None if high is None else float(high[i])
            rows.append(row)
    if as_json:
        _print_json(rows)
    else:
        from ._terminal import show_predictions

        show_predictions(rows)


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
    bounds = {
        name: arguments.bounds(f"--{name.replace('_', '-')}", text)
        for name, text in (
            ("n_params", n_params),
            ("epochs", epochs),
            ("target_ratio", target_ratio),
            ("final_ratio", final_ratio),
            ("stage_fraction", stage_fraction),
        )
    }
    _use_cache()
    with _progress(as_json) as progress:
        found = optimize(
            loaded,
            compute=arguments.amounts("--compute", compute),
            target_tokens=arguments.amounts("--target-tokens", target_tokens),
            languages=language or None,
            first_share=first_share,
            max_total_tokens=arguments.amount("--max-total-tokens", max_total_tokens),
            max_source_tokens=arguments.amount("--max-source-tokens", max_source_tokens),
            extrapolate=extrapolate,
            draws=draws,
            level=level,
            progress=progress,
            **bounds,
        )
    _write_recommendations(found, recipes, plan)
    if as_json:
        _print_json(found.records())
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

    _use_cache()
    with _progress(as_json) as progress:
        outcome = run(settings, progress=progress)
    if as_json:
        _print_json(
            {
                "recipes": outcome.recommendations.records(),
                "scores": [score.to_dict() for score in outcome.scores],
                "files": [str(path) for path in outcome.files],
            }
        )
        return
    from ._terminal import show_fits, show_recommendations, show_scores

    show_fits(outcome.fits, outcome.runs.notes, brief=True)
    show_scores(outcome.scores)
    show_recommendations(outcome.recommendations)
    typer.echo(f"\nwritten to {settings.output}: {', '.join(p.name for p in outcome.files)}")


@app.command()
def laws(as_json: Json = False) -> None:
    """List the scaling laws, with formula and source."""
    from .laws import get_law, list_laws

    known = [get_law(name) for name in list_laws()]
    if as_json:
        _print_json(
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


# What is around a command.


def _use_cache() -> None:
    """Keep compiled code between calls, unless the user has set JAX's cache up themselves."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "m3jax" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only home costs time, not results
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error, for people only."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report


def _print_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    main()
