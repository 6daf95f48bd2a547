"""The closed loop: fit cheap runs, predict the best recipe of a dearer budget, train it and others.

    m3jax pilot configs/pilot_debian.toml
    python -m benchmarks.closed_loop configs/pilot_debian.toml -o out/closed_loop

The law is fitted to the runs of the configuration's table that took at most a quarter of the budget
(by default the table's dearest run). Every recipe is trained with several seeds; stopped at any
moment, the same command goes on where it was, and the last call prints the comparison.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from m3jax import M3Error, Recipe, RunTable, fit, optimize
from m3jax._files import write_text
from m3jax.pilot import carry_out, prepare, read_pilot_config
from m3jax.pilot._design import from_recipes
from m3jax.pilot._model import shapes

RECOMMENDED = "recommended"
TOKENS_PER_PARAM = 20.0  # Hoffmann et al. 2022, for the alternatives' model size
FOUR = 4.0  # epochs, after Muennighoff et al. 2023
SINGLE_STAGE = 1  # in m3jax.REGIMES
HALVINGS = 6  # of the budget, to turn losses into compute


def alternatives(
    cheap: RunTable, compute: float, target_tokens: float
) -> dict[str, dict[str, float]]:
    """What one would do without a law, at the same budget and corpus."""
    n_params = math.sqrt(compute / (6 * TOKENS_PER_PARAM))
    total = compute / (6 * n_params)

    def at(ratio: float) -> dict[str, float]:
        ratio = min(ratio, 1.0)
        epochs = ratio * total / target_tokens
        return {"n_params": n_params, "target_ratio": ratio, "epochs": epochs}

    # Law-blind: the best cheap run on a corpus of about this size, larger in all directions.
    near = np.abs(np.log(cheap.recipe.target_tokens / target_tokens)) <= math.log(2)
    best = int(np.argmin(np.where(near, cheap.loss, np.inf)))
    blind = {name: float(leaf[best]) for name, leaf in vars(cheap.recipe).items()}
    blind["n_params"] *= math.sqrt(compute / float(cheap.recipe.compute[best]))
    seen = blind["target_ratio"] * compute / (6 * blind["n_params"])
    blind["epochs"] = seen / target_tokens
    del blind["target_tokens"]
    return {
        "monolingual, Chinchilla-optimal size": at(1.0),
        "uniform mix": at(0.5),
        "4 epochs": at(FOUR * target_tokens / total),
        **({"best cheap run, scaled": blind} if near.any() else {}),
    }


def recipes_for(
    cheap: RunTable,
    language: str,
    compute: float,
    target_tokens: float,
    source_tokens: float,
    options: dict[str, Any],
) -> tuple[dict[str, Recipe], dict[str, Any]]:
    """The recipes to train, by name, and what the law says of its own."""
    fits = fit(cheap, options["law"], huber_delta=options["huber_delta"], draws=options["draws"])
    fits.require_any()
    budgets = compute * 0.5 ** np.arange(HALVINGS + 1)
    found = optimize(
        fits, compute=budgets, target_tokens=target_tokens, languages=[language],
        max_source_tokens=source_tokens, extrapolate=False,
    )  # fmt: skip
    if not found.feasible[0, 0, 0]:
        raise M3Error(f"{language}: no recipe is allowed: {found.infeasible.get((0, 0, 0))}")
    named = {RECOMMENDED: found.at(0, 0, 0)}
    if np.isfinite(found.by_regime_loss[0, 0, 0, SINGLE_STAGE]):
        single = jax.tree.map(lambda leaf: float(leaf[0, 0, 0, SINGLE_STAGE]), found.by_regime)
        named["best single stage, by the law"] = single
    for name, chosen in alternatives(cheap, compute, target_tokens).items():
        named[name] = Recipe.create(target_tokens=target_tokens, **chosen)
    predicted = {
        name: float(np.ravel(fits.predict(recipe, language))[0]) for name, recipe in named.items()
    }
    return named, {
        "runs": len(cheap),
        "predicted": predicted,
        "predicted_low": found.loss_low[0, 0, 0],
        "predicted_high": found.loss_high[0, 0, 0],
        "budgets": budgets.tolist(),
        "best_losses": found.loss[0, :, 0].tolist(),
    }


def saved_compute(law: dict[str, Any], ours: float, theirs: float) -> float | None:
    """How many times less compute our recipe takes to their loss; None beyond what was computed.

    By the law: the budget at which its best recipe has their loss, its losses being scaled so that
    at the full budget it has ours.
    """
    losses = np.array(law["best_losses"]) * ours / law["best_losses"][0]
    if not (losses.min() <= theirs <= losses.max()) or not np.all(np.isfinite(losses)):
        return None
    return float(law["budgets"][0] / np.exp(np.interp(theirs, losses, np.log(law["budgets"]))))


def compare(rows: dict[str, list[float]], law: dict[str, Any]) -> list[dict[str, Any]]:
    """Measured losses of each recipe, the best first."""
    ours = statistics.mean(rows[RECOMMENDED])
    found = []
    for name, losses in rows.items():
        mean = statistics.mean(losses)
        found.append(
            {
                "recipe": name,
                "seeds": len(losses),
                "loss": mean,
                "standard_error": statistics.stdev(losses) / math.sqrt(len(losses))
                if len(losses) > 1
                else None,
                "predicted": law["predicted"][name],
                "excess": mean / ours - 1,
                "compute_saved": None if name == RECOMMENDED else saved_compute(law, ours, mean),
            }
        )
    return sorted(found, key=lambda row: row["loss"])


def study(config: Path, output: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Do or go on with the whole loop; the comparison by language."""
    settings = read_pilot_config(config)
    for name in ("budget", "minutes", "recipes", "runs", "seeds"):
        settings.pop(name, None)
    ensemble, table = settings.pop("ensemble", None), settings.pop("output")
    runs = RunTable.read(table)
    compute = options["compute"] or float(np.max(runs.recipe.compute))
    cheap = runs.select(runs.recipe.compute <= compute / options["multiple"])
    corpus = options["target_tokens"]

    chosen: dict[str, dict[str, Recipe]] = {}
    laws: dict[str, Any] = {}
    # What was decided stays decided: a second call must not fit anew and train something else.
    decided = output / "recipes.json"
    asked = {**options, "runs": len(runs)}
    if decided.exists():
        content = json.loads(decided.read_text(encoding="utf-8"))
        if content["asked"] != asked:
            raise M3Error(f"{decided}: was decided for {content['asked']}; name another folder")
        laws = content["laws"]
        for language, named in content["recipes"].items():
            chosen[language] = {name: Recipe.create(**recipe) for name, recipe in named.items()}
    else:
        source_tokens = Path(settings["source"]).stat().st_size
        for language in settings["targets"]:
            mine = cheap.for_language(language)
            chosen[language], laws[language] = recipes_for(
                mine, language, compute, corpus, source_tokens, options
            )
        recipes = {
            language: {n: {k: float(v) for k, v in vars(r).items()} for n, r in named.items()}
            for language, named in chosen.items()
        }
        content = {"asked": asked, "laws": laws, "recipes": recipes}
        write_text(decided, json.dumps(content, indent=1) + "\n")

    def batch(language: str) -> Recipe:
        return jax.tree.map(lambda *leaves: np.array(leaves), *chosen[language].values())

    plan = prepare(**settings, output=output / "runs.csv", recipes=batch, seeds=options["seeds"])
    carry_out(plan, ensemble=ensemble, progress=show_progress)
    with open(output / "runs.csv", newline="") as file:
        losses = {row["run_id"]: float(row["loss"]) for row in csv.DictReader(file)}
    run_id = dict(zip(plan.trials, plan.run_ids, strict=True))
    result: dict[str, Any] = {"compute": compute, "target_tokens": corpus, "languages": {}}
    for language, named in chosen.items():
        vocabulary = plan.trials[0].shape.vocabulary
        rows = {}
        for name, recipe in named.items():
            one = jax.tree.map(lambda leaf: np.array([leaf]), recipe)
            trials = from_recipes(
                language, shapes(vocabulary), plan.training, one, seeds=options["seeds"]
            )
            finite = [losses[run_id[t]] for t in trials if run_id[t] in losses]
            if finite:
                rows[name] = finite
        result["languages"][language] = {
            "fitted_runs": laws[language]["runs"],
            "predicted_low": laws[language]["predicted_low"],
            "predicted_high": laws[language]["predicted_high"],
            "recipes": compare(rows, laws[language]),
        }
    write_text(output / "result.json", json.dumps(result, indent=1) + "\n")
    write_text(output / "result.md", markdown(result))
    return result


def show_progress(stage: str, done: int, total: int) -> None:
    """One line on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r{stage}: {done / max(total, 1):.0%} ", end="", file=sys.stderr, flush=True)


def markdown(result: dict[str, Any]) -> str:
    """The comparison as a table for a README."""
    table = io.StringIO()
    table.write(
        "| language | recipe | measured loss (mean ± standard error, seeds) | predicted | against"
        " the recommended | compute saved |\n|---|---|---|---|---|---|\n"
    )
    for language, found in result["languages"].items():
        for row in found["recipes"]:
            error = row["standard_error"]
            saved = row["compute_saved"]
            spread = "" if error is None else f" ± {error:.4f}"
            table.write(
                f"| {language} | {row['recipe']} | {row['loss']:.4f}{spread} ({row['seeds']})"
                f" | {row['predicted']:.4f} | {row['excess']:+.2%}"
                f" | {'' if saved is None else f'{saved:.2f}×'} |\n"
            )
    return table.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="of `m3jax pilot`, whose table is finished")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/closed_loop"))
    parser.add_argument("--target-tokens", type=float, default=65_536.0, help="corpus, D_T")
    parser.add_argument("--compute", type=float, help="FLOP; the table's dearest run without")
    parser.add_argument("--multiple", type=float, default=4.0, help="budget over fitted runs'")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--law", default="m3")
    parser.add_argument("--huber-delta", type=float, default=0.01)
    parser.add_argument("--draws", type=int, default=100)
    options = vars(parser.parse_args())
    try:
        result = study(options.pop("config"), options.pop("output"), options)
    except M3Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(result), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
