"""The closed loop: fit cheap runs, predict the best recipe of a dearer budget, train it and others.

    m3jax pilot configs/pilot_debian.toml
    python -m benchmarks.studies.closed_loop configs/pilot_debian.toml -o out/closed_loop

The law is fitted to the runs of the configuration's table that took at most a quarter of the budget
(by default the table's dearest run). Every recipe is trained with several seeds, and the one
recommended at a half and a quarter of the budget too, so that compute saved is measured. Stopped at
any moment, the same command goes on where it was, and the last call prints the comparison.

`--decide-only` ends once recipes, predictions and their intervals are written, before anything is
trained: so they can be published first. What is recommended by a fit that pools the languages is
among the recipes where there are several.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.support.script import new_parser
from m3jax import REGIMES, Fits, M3Error, Recipe, RunTable, fit, optimize
from m3jax.files import read_json, write_json, write_text
from m3jax.optimization.solvers import has_terms
from m3jax.pilot import (
    BYTES,
    Shape,
    Training,
    Trial,
    carry_out,
    from_recipes,
    prepare,
    read_card,
    read_pilot_config,
    read_tokenizer,
    shapes,
)

RECOMMENDED, POOLED = "recommended", "recommended, languages pooled"
CHEAPER = {f"{RECOMMENDED}, half the compute": 0.5, f"{RECOMMENDED}, a quarter of it": 0.25}
TOKENS_PER_PARAM = 20.0  # Hoffmann et al. 2022, for the alternatives' model size
FOUR = 4.0  # epochs, after Muennighoff et al. 2023


def best_of(regime: str) -> str:
    """Name of the best recipe of a regime that is not the recommended one's."""
    return f"best {regime}, by the law"


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
    fits: Fits,
    pooled: Fits | None,
    cheap: RunTable,
    language: str,
    compute: float,
    target_tokens: float,
    source_tokens: float,
    sizes: tuple[Shape, ...],
) -> dict[str, Recipe]:
    """The recipes to train, by name."""
    shares = [1.0, *CHEAPER.values()]
    limits: dict[str, Any] = {
        "target_tokens": target_tokens,
        "languages": [language],
        "max_source_tokens": source_tokens,
        "ladder": [shape.n_params for shape in sizes],
    }
    recommendations = optimize(
        fits, compute=compute * np.array(shares), certify=has_terms(fits.law), **limits
    )
    if not recommendations.feasible[0, 0, 0]:
        reason = recommendations.infeasible.get((0, 0, 0))
        raise M3Error(f"{language}: no recipe is allowed: {reason}")
    recipes = {}
    for budget, name in enumerate([RECOMMENDED, *CHEAPER]):
        if not recommendations.feasible[0, budget, 0]:
            break
        recipes[name] = recommendations.at(0, budget, 0)
    for regime, name in enumerate(REGIMES):
        is_other = regime != int(np.asarray(recipes[RECOMMENDED].regime))
        if is_other and np.isfinite(recommendations.by_regime_loss[0, 0, 0, regime]):
            recipes[best_of(name)] = jax.tree.map(
                lambda leaf, i=regime: float(leaf[0, 0, 0, i]), recommendations.by_regime
            )
    if pooled is not None and language in pooled.languages:
        recipes[POOLED] = optimize(pooled, compute=compute, **limits).at(0, 0, 0)
    for name, variables in alternatives(cheap, compute, target_tokens).items():
        recipes[name] = Recipe.create(target_tokens=target_tokens, **variables)
    return recipes


def trials_of(
    recipes: Mapping[str, Recipe],
    language: str,
    sizes: tuple[Shape, ...],
    training: Training,
    seeds: int,
) -> dict[str, list[Trial]]:
    """Each recipe's runs, in whole windows."""
    trials = {}
    for name, recipe in recipes.items():
        batch = jax.tree.map(lambda leaf: np.array([float(leaf)]), recipe)
        trials[name] = from_recipes(language, sizes, training, batch, seeds=seeds)
    return trials


def saved_compute(losses: list[float], loss: float) -> tuple[float, str]:
    """How many times less compute the recommended recipe takes to another's `loss`.

    And "", "at least" or "at most". `losses` are those measured of the recommended recipe at the
    budget, a half and a quarter of it.
    """
    known = np.log(np.maximum.accumulate(losses))
    factors = 1 / np.array([1.0, *CHEAPER.values()])[: len(known)]
    if math.log(loss) > known[-1]:
        return float(factors[-1]), "at least"
    if math.log(loss) < known[0]:
        return 1.0, "at most"
    return float(np.exp(np.interp(math.log(loss), known, np.log(factors)))), ""


def compare(
    rows: Mapping[str, list[float]],
    trials: Mapping[str, list[Trial]],
    predicted: Mapping[str, Mapping[str, float]],
) -> list[dict[str, Any]]:
    """Measured losses of each recipe, the best first; the recommended one's cheaper runs last."""
    recommended = rows[RECOMMENDED]
    curve = [statistics.mean(rows[name]) for name in (RECOMMENDED, *CHEAPER) if name in rows]
    comparison = []
    for name, losses in rows.items():
        recipe, mean = trials[name][0].recipe(), statistics.mean(losses)
        saved, bound = saved_compute(curve, mean)
        comparison.append(
            {
                "recipe": name,
                "regime": REGIMES[int(np.asarray(recipe.regime))],
                "n_params": float(recipe.n_params),
                "total_tokens": trials[name][0].total_tokens,
                "epochs": float(recipe.epochs),
                "target_ratio": float(recipe.target_ratio),
                "first_ratio": float(recipe.first_ratio),
                "final_ratio": float(recipe.final_ratio),
                "stage_fraction": float(recipe.stage_fraction),
                "losses": losses,
                "loss": mean,
                "standard_error": _standard_error(losses),
                **predicted[name],
                "inside": predicted[name]["low"] <= mean <= predicted[name]["high"],
                "runs_inside": sum(
                    predicted[name]["run_low"] <= loss <= predicted[name]["run_high"]
                    for loss in losses
                ),
                "excess": mean / curve[0] - 1,
                "excess_error": math.hypot(_standard_error(losses), _standard_error(recommended))
                / curve[0],
                "compute_saved": saved,
                "bound": bound,
            }
        )
    return sorted(comparison, key=lambda row: (row["recipe"] in CHEAPER, row["loss"]))


def _standard_error(losses: list[float]) -> float:
    return statistics.stdev(losses) / math.sqrt(len(losses))


def decide(
    cheap: RunTable,
    languages: Iterable[str],
    card: Mapping[str, Any],
    sizes: tuple[Shape, ...],
    training: Training,
    question: dict[str, Any],
) -> dict[str, Any]:
    """Fit the cheap runs; recipes by language, with the losses predicted of them as trained.

    Intervals are of the mean over many runs ("low", "high") and of one run ("run_low", "run_high").

    `question` holds the options of the script, and the budget as `compute`.
    """
    how = {name: question[name] for name in ("huber_delta", "draws", "prior")}
    fits = fit(cheap, question["law"], pool=question["pool"], **how)
    fits.require_any()
    pooled = None
    if question["pool"] == "none" and len(fits.languages) > 1:
        pooled = fit(cheap, question["law"], pool="partial", **how)
    decisions = {}
    for language in languages:
        recipes = recipes_for(
            fits,
            pooled,
            cheap.for_language(language),
            language,
            question["compute"],
            question["target_tokens"],
            card[language]["source"]["training_tokens"],
            sizes,
        )
        planned = trials_of(recipes, language, sizes, training, 1)
        decisions[language] = {
            "recipes": {n: {k: float(v) for k, v in vars(r).items()} for n, r in recipes.items()},
            "predicted": {
                name: predictions(
                    pooled if pooled is not None and name == POOLED else fits,
                    language,
                    trials[0].recipe(),
                )
                for name, trials in planned.items()
            },
        }
    return {"asked": question, "languages": decisions}


def predictions(fits: Fits, language: str, recipe: Recipe) -> dict[str, float]:
    """What a fit says of a recipe before it is trained."""
    ends = [fits.loss_interval(recipe, language, of_run=of_run) for of_run in (False, True)]
    values = fits.predict(recipe, language), *ends[0], *ends[1]
    names = "predicted", "low", "high", "run_low", "run_high"
    return {name: float(np.ravel(value)[0]) for name, value in zip(names, values, strict=True)}


def study(config: Path, output: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Do or go on with the whole loop; the comparison by language.

    Raises `M3Error` on fewer than 2 seeds and a table that `m3jax pilot` has not finished.
    """
    if options["seeds"] < 2:
        raise M3Error(f"--seeds: expected at least 2, for error bars, got {options['seeds']}")
    decide_only = options.pop("decide_only")
    settings = read_pilot_config(config)
    for name in ("budget", "minutes", "recipes", "runs", "seeds"):
        settings.pop(name, None)
    ensemble, table = settings.pop("ensemble", None), settings.pop("output")
    runs = RunTable.read(table)
    compute = options["compute"] or float(np.max(runs.recipe.compute))
    cheap = runs.select(runs.recipe.compute <= compute / options["multiple"] * (1 + 1e-9))
    training = settings.get("training", Training())
    card = read_card(Path(table))
    if lacking := [language for language in settings["targets"] if language not in card]:
        raise M3Error(f"{table}: nothing is known of {', '.join(lacking)}: run `m3jax pilot` first")
    tokenizer = settings.get("tokenizer")
    sizes = shapes((read_tokenizer(tokenizer) if tokenizer else BYTES).vocabulary)

    # What was decided stays decided: a second call must not fit anew and train something else.
    question = {**options, "compute": compute, "fitted_runs": len(cheap)}
    decided, content = output / "recipes.json", None
    if decided.exists():
        content = read_json(decided)
        if content["asked"] != question:
            raise M3Error(f"{decided}: was decided for {content['asked']}; name another folder")
    if content is None:
        content = decide(cheap, settings["targets"], card, sizes, training, question)
        write_json(decided, content)
    if decide_only:
        return content

    chosen = {
        language: {name: Recipe.create(**recipe) for name, recipe in decision["recipes"].items()}
        for language, decision in content["languages"].items()
    }

    def batch(language: str) -> Recipe:
        return jax.tree.map(lambda *leaves: np.array(leaves), *chosen[language].values())

    plan = prepare(**settings, output=output / "runs.csv", recipes=batch, seeds=options["seeds"])
    carry_out(plan, ensemble=ensemble, progress=show_progress)
    with open(output / "runs.csv", newline="", encoding="utf-8") as file:
        losses = {row["run_id"]: float(row["loss"]) for row in csv.DictReader(file)}
    run_id = dict(zip(plan.trials, plan.run_ids, strict=True))
    result: dict[str, Any] = {
        "compute": compute,
        "target_tokens": options["target_tokens"],
        "asked": question,
        "languages": {},
    }
    for language, recipes in chosen.items():
        decision = content["languages"][language]
        trials = trials_of(recipes, language, sizes, plan.training, options["seeds"])
        rows = {
            name: [losses[run_id[trial]] for trial in repeats if run_id[trial] in losses]
            for name, repeats in trials.items()
        }
        if diverged := [name for name, finite in rows.items() if len(finite) < options["seeds"]]:
            raise M3Error(f"{language}: runs without a finite loss: {', '.join(diverged)}")
        result["languages"][language] = {
            "recipes": compare(rows, trials, decision["predicted"]),
        }
    write_json(output / "result.json", result)
    write_text(output / "result.md", f"{overview(result)}\n{markdown(result)}")
    return result


def show_progress(stage: str, done: int, total: int) -> None:
    """One line on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r{stage}: {done / max(total, 1):.0%} ", end="", file=sys.stderr, flush=True)


def overview(result: dict[str, Any]) -> str:
    """Measured losses, a row for each recipe and a column for each language."""
    by_language = {
        language: {row["recipe"]: row for row in comparison["recipes"]}
        for language, comparison in result["languages"].items()
    }
    names = dict.fromkeys(name for rows in by_language.values() for name in rows)
    table = io.StringIO()
    table.write(f"| measured loss, nats per token | {' | '.join(by_language)} |\n")
    table.write("|---|" + "---|" * len(by_language) + "\n")
    for name in sorted(names, key=lambda name: (name != RECOMMENDED, name in CHEAPER)):
        cells = []
        for rows in by_language.values():
            row = rows.get(name)
            if row is None:
                is_recommended = name == best_of(rows[RECOMMENDED]["regime"])
                cells.append("is the recommended" if is_recommended else "not possible")
                continue
            cell = f"{row['loss']:.3f} ± {row['standard_error']:.3f}"
            cells.append(cell if name == RECOMMENDED else f"{cell} ({row['excess']:+.1%})")
        table.write(f"| {name} | {' | '.join(cells)} |\n")
    return table.getvalue()


def markdown(result: dict[str, Any]) -> str:
    """The comparison in all detail, the best recipe of each language first, and what held."""
    table = io.StringIO()
    table.write(
        "| language | recipe | parameters | epochs | target ratio (before → final stage) | measured"
        " loss, mean ± standard error | predicted (90% interval) | inside | against the"
        " recommended | compute saved |\n|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for language, comparison in result["languages"].items():
        for row in comparison["recipes"]:
            stages = f"{row['target_ratio']:.2f}"
            if row["stage_fraction"] < 1:
                stages += f" ({row['first_ratio']:.2f} → {row['final_ratio']:.2f})"
            is_reference = row["recipe"] == RECOMMENDED or row["recipe"] in CHEAPER
            saved = "" if is_reference else f"{row['bound']} {row['compute_saved']:.2f}×".strip()
            against = f"{row['excess']:+.2%} ± {row['excess_error']:.2%}"
            table.write(
                f"| {language} | {row['recipe']} | {row['n_params']:.3g} | {row['epochs']:.1f}"
                f" | {stages} | {row['loss']:.4f} ± {row['standard_error']:.4f}"
                f" | {row['predicted']:.4f} ({row['low']:.4f} to {row['high']:.4f})"
                f" | {'yes' if row['inside'] else 'no'}"
                f" | {'' if row['recipe'] == RECOMMENDED else against}"
                f" | {saved} |\n"
            )
    every = [row for comparison in result["languages"].values() for row in comparison["recipes"]]
    runs = sum(len(row["losses"]) for row in every)
    table.write(
        f"\n{sum(row['inside'] for row in every)} of {len(every)} mean losses lie inside their"
        f" intervals, {sum(row['runs_inside'] for row in every)} of {runs} runs inside those of one"
        " run.\n"
    )
    return table.getvalue()


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("config", type=Path, help="of `m3jax pilot`, whose table is finished")
    parser.add_argument("-o", "--output", type=Path, default=Path("out/closed_loop"))
    parser.add_argument("--target-tokens", type=float, default=65_536.0, help="corpus, D_T")
    parser.add_argument("--compute", type=float, help="FLOP; the table's dearest run without")
    parser.add_argument("--multiple", type=float, default=4.0, help="budget over fitted runs'")
    parser.add_argument("--seeds", type=int, default=3, help="of each recipe, at least 2")
    parser.add_argument("--law", default="m3")
    parser.add_argument("--huber-delta", type=float, help="half the runs' scatter without")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--pool", default="none", help="none, partial or full, over languages")
    parser.add_argument("--prior", default="weak")
    parser.add_argument("--decide-only", action="store_true", help="train nothing yet")
    options = vars(parser.parse_args())
    decide_only, output = options["decide_only"], options.pop("output")
    try:
        result = study(options.pop("config"), output, options)
    except M3Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if decide_only:
        print(f"decided: {output / 'recipes.json'}")
    else:
        print(f"{overview(result)}\n{markdown(result)}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
