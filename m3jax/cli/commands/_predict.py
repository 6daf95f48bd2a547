"""The command `m3jax predict`: the loss of given recipes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..._errors import M3Error, named_by_flags
from .. import _arguments as arguments
from .._common import (
    FitFile,
    Json,
    Language,
    print_json,
    use_cache,
)

_FLAGS = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        "n_params", "target_tokens", "epochs", "target_ratio", "final_ratio", "first_ratio"
    )
}  # fmt: skip


def predict_command(
    fits: FitFile,
    n_params: Annotated[str, typer.Option(help="Model size(s), parameters: 124M")],
    target_tokens: Annotated[str, typer.Option(help="Unique target tokens: 100M")],
    epochs: Annotated[str, typer.Option(help="Passes over the target corpus.")],
    target_ratio: Annotated[str, typer.Option(help="Share of tokens in the target.")] = "1",
    final_ratio: Annotated[
        str | None, typer.Option(help="Share in the final stage; default the same.")
    ] = None,
    first_ratio: Annotated[
        str | None, typer.Option(help="Share before the final stage; default 0 with two stages.")
    ] = None,
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Predict the loss of recipes, with intervals. Values may be lists: 10M,100M.

    One interval is a projection, of the loss that runs would have on average; the other a
    prediction, of what one run will measure.

    Example: m3jax predict fits.json --n-params 124M --target-tokens 100M --epochs 4
    """
    import numpy as np

    from ...fitting import Fits
    from ...recipe import Recipe

    given = {
        "n_params": arguments.amounts(_FLAGS["n_params"], n_params),
        "target_tokens": arguments.amounts(_FLAGS["target_tokens"], target_tokens),
        "epochs": arguments.amounts(_FLAGS["epochs"], epochs),
        "target_ratio": arguments.amounts(_FLAGS["target_ratio"], target_ratio),
    }
    if final_ratio is not None:
        given["final_ratio"] = arguments.amounts(_FLAGS["final_ratio"], final_ratio)
    if first_ratio is not None:
        given["first_ratio"] = arguments.amounts(_FLAGS["first_ratio"], first_ratio)
    longest = max(len(v) for v in given.values())
    for name, values in given.items():
        if len(values) not in (1, longest):
            raise M3Error(
                f"{_FLAGS[name]}: expected 1 or {longest} values, as many as the longest list, got"
                f" {len(values)}"
            )
    with named_by_flags(_FLAGS):
        recipe = Recipe.create(**{name: np.asarray(v) for name, v in given.items()})
    loaded = Fits.load(fits)
    use_cache()
    rows: list[dict[str, Any]] = []
    for name in language or loaded.languages:
        value = np.atleast_1d(loaded.predict(recipe, name))
        ends: dict[str, np.ndarray] = {}
        if loaded.draws.shape[1]:
            for key, of_run in (("loss", False), ("run", True)):
                span = loaded.loss_interval(recipe, name, of_run=of_run)
                ends[f"{key}_low"], ends[f"{key}_high"] = map(np.atleast_1d, span)
        for i in range(len(value)):
            row: dict[str, Any] = {"language": name}
            row |= {field: float(leaf[i]) for field, leaf in vars(recipe).items()}
            row |= {"compute": float(np.asarray(recipe.compute)[i]), "loss": float(value[i])}
            for key in ("loss_low", "loss_high", "run_low", "run_high"):
                row[key] = float(ends[key][i]) if ends else None
            rows.append(row)
    if as_json:
        print_json(rows)
    else:
        from ...output import show_predictions

        show_predictions(rows)
