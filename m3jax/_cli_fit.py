"""Commands around a fit: `m3jax fit | predict | diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _arguments as arguments
from ._cli_common import (
    DropHighest,
    FitFile,
    Json,
    Language,
    Map,
    Table,
    Units,
    print_json,
    progress_bar,
    use_cache,
)
from ._errors import M3Error

if TYPE_CHECKING:
    from .runs import RunTable


def fit_command(
    table: Table,
    law: Annotated[str, typer.Option(help="Scaling law; `m3jax laws` lists them.")] = "m3",
    columns: Map = None,
    units: Units = None,
    drop_highest: DropHighest = 0,
    fix: Annotated[
        str | None, typer.Option(help="Hold coefficients: alpha=0.35,E=1.8", metavar="NAME=V,…")
    ] = None,
    huber_delta: Annotated[
        float, typer.Option(help="Residuals in log loss beyond this count linearly.")
    ] = 1e-3,
    starts: Annotated[int, typer.Option(help="Descents for each language.")] = 8,
    draws: Annotated[int, typer.Option(help="Bootstrap draws for intervals; 0 for none.")] = 200,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.9,
    bootstrap: Annotated[
        str, typer.Option(help="cluster: weigh runs at random; residual: deal out residuals anew.")
    ] = "cluster",
    prior: Annotated[
        str,
        typer.Option(help="weak: keeps the undecided sane; public; none; or your own .json file."),
    ] = "weak",
    pool: Annotated[
        str, typer.Option(help="What languages share: none, partial (few-run ones borrow), full.")
    ] = "none",
    precision: Annotated[
        str, typer.Option(help="float64, or float32 for devices slow in double.")
    ] = "float64",
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the fits to this .json file.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Keep finished languages in this folder; start again to go on."),
    ] = None,
    distributed: Annotated[
        bool,
        typer.Option("--distributed", help="Share the work: Slurm, MPI, Kubernetes, TPU pods."),
    ] = False,
    coordinator: Annotated[
        str | None,
        typer.Option(help="The same elsewhere: where process 0 is.", metavar="HOST:PORT"),
    ] = None,
    processes: Annotated[int | None, typer.Option(help="How many share the work.")] = None,
    process: Annotated[int | None, typer.Option(help="Which of them this is, from 0.")] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for a process that shows no sign of life.")
    ] = 300.0,
    as_json: Json = False,
) -> None:
    """Fit a scaling law to every language of a run table."""
    from .distributed import fit_in_chunks, share_of
    from .fitting import fit

    if output is not None and output.suffix != ".json":
        raise M3Error(f"{output}: expected a file name ending in .json")
    shared = distributed or any(x is not None for x in (coordinator, processes, process))
    if shared and checkpoint is None:
        raise M3Error(
            "--checkpoint: expected a folder that all processes see, to share the work in"
        )
    runs = read_table(table, columns, units, drop_highest)
    use_cache()
    share = share_of(
        distributed=distributed,
        coordinator=coordinator,
        processes=processes,
        process=process,
        patience=patience,
    )
    options: dict[str, Any] = {
        "fixed": arguments.numbers("--fix", fix),
        "huber_delta": huber_delta,
        "starts": starts,
        "draws": draws,
        "bootstrap": bootstrap,
        "level": level,
        "prior": prior,
        "pool": pool,
        "precision": precision,
        "seed": seed,
    }
    with progress_bar(as_json) as progress:
        if checkpoint is None:
            fits = fit(runs, law, progress=progress, **options)
        else:
            fits = fit_in_chunks(
                runs,
                law,
                checkpoint=checkpoint,
                share=share,
                patience=patience,
                progress=progress,
                **options,
            )
    if share[0] > 0:
        return  # the first process writes and prints for all
    if output is not None and fits.languages:
        fits.save(output)
    if as_json:
        print_json(fits.to_dict())
    else:
        from ._terminal import show_fits

        show_fits(fits, runs.notes)
        if output is not None and fits.languages:
            typer.echo(f"\nwritten: {output}, {output.with_suffix('.npz')}", err=True)
    fits.require_any()


def predict_command(
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
    use_cache()
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
        print_json(rows)
    else:
        from ._terminal import show_predictions

        show_predictions(rows)


def diagnose_command(
    fits: FitFile,
    table: Table,
    columns: Map = None,
    units: Units = None,
    drop_highest: DropHighest = 0,
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Say what the runs of a fit determine, which of them stand out, and what to do about it.

    Give the table, and the names, units and left-out runs, that the fit was made with.
    """
    from .fitting import Fits, diagnose

    loaded = Fits.load(fits)
    runs = read_table(table, columns, units, drop_highest)
    use_cache()
    found = diagnose(loaded, runs, languages=language or None)
    if as_json:
        print_json({name: diagnosis.to_dict() for name, diagnosis in found.items()})
        return
    from ._terminal import show_diagnoses

    show_diagnoses(found, loaded.law.name, runs.source)


def read_table(table: Path, columns: str | None, units: str | None, drop_highest: int) -> RunTable:
    """The run table that the options of a command line mean."""
    from .runs import RunTable

    mapping = arguments.pairs("--map", columns)
    runs = RunTable.read(table, columns=mapping, units=arguments.units(units))
    return runs.drop_highest(drop_highest)
