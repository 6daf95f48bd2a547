"""Fitted to small models alone, how well does each law foresee larger ones, and what moves?

    python -m benchmarks.studies.across_scales --json
    python -m benchmarks.studies.across_scales --small cheap.csv --large dear.csv --laws m3,kaplan

Every law is fitted to the first pilot's table and asked for each run of the second, in the
languages that are in both: bias and size of the error, how often the 90% interval of one run holds,
its interval score (width + 20 · miss in log loss; Gneiting and Raftery 2007), and the regret of its
choice among the second table's runs of one corpus and one compute, seeds averaged.

Sweeps need no law: runs that differ in their stages alone (one size, length, corpus, ratio and
seed) are compared with the one among them whose final stage is longest, and with what `m3`, fitted
to the small table, expects of that. What the second table changed in `m3` was decided on two of its
languages, when some of its runs were there (--decided, their run_id); the law without each change
is scored on these by language, and on what was trained afterwards.

Then `m3` and `m3_stages` are fitted to each table and to both: their coefficients with calibrated
intervals. Whether η goes with model size is asked once more with all other coefficients held at
the values of both tables, η fitted to the runs of each band of sizes.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from benchmarks.support.script import new_parser, parse, print_result, say
from m3jax import Fits, RunTable, fit, get_law, list_laws
from m3jax.comparison import slices
from m3jax.laws import LogSpaceLaw
from m3jax.laws.m3 import M3
from m3jax.recipe import Recipe

LEVEL, MISS = 0.9, 20.0  # 2 / (1 − level)
MANY = 12.0  # epochs
SHORT = 0.195  # final stages within the decay of the learning rate
COMPARED = ("m3", "m3_stages")
DECIDED = ("German", "Indonesian")  # what changed in `m3` was decided on
DECIDED_RUNS = Path(__file__).parent.parent / "results" / "across_scales_decided.csv"
SCALES = (0.05, 0.1, 0.2, 0.3)  # s0 beside that of `m3`
BANDS = ((0.0, 1.4e5), (1.4e5, 3.5e5), (3.5e5, np.inf))  # parameters
_RECIPE = ("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio", "first_ratio")


def choices(runs: RunTable, language: str) -> Iterator[list[np.ndarray]]:
    """Recipes that one team could have chosen among: rows of each, its seeds."""
    rows = np.flatnonzero(runs.language == language)
    for group in slices(runs, rows):
        values = np.stack([np.asarray(getattr(runs.recipe, name))[group] for name in _RECIPE])
        _, number = np.unique(values, axis=1, return_inverse=True)
        yield [group[number.ravel() == i] for i in range(number.max() + 1)]


def regrets(runs: RunTable, language: str, predicted: np.ndarray) -> list[tuple[float, float]]:
    """Of each choice, how far the recipe predicted best is above the best; and all, on average.

    Relative losses; `predicted` (n,) is of all runs.
    """
    found = []
    for recipes in choices(runs, language):
        if len(recipes) < 2:
            continue
        measured = np.array([runs.loss[rows].mean() for rows in recipes])
        chosen = measured[int(np.argmin([predicted[rows[0]] for rows in recipes]))]
        lowest = measured.min()
        found.append((float(chosen / lowest - 1), float(measured.mean() / lowest - 1)))
    return found


def foreseen(fits: Fits, runs: RunTable) -> tuple[np.ndarray, np.ndarray]:
    """Log of predicted over measured loss, (n,), and the log width of the interval of one run."""
    error, width = np.full((2, len(runs)), np.nan)
    for language in fits.languages:
        rows = np.flatnonzero(runs.language == language)
        recipe = jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf)[rows], runs.recipe)
        low, high = fits.loss_interval(recipe, language, of_run=True)
        error[rows] = np.log(fits.predict(recipe, language) / runs.loss[rows])
        width[rows] = np.log(high / low)
    return error, width


def scores(error: np.ndarray, width: np.ndarray) -> dict[str, Any]:
    """Of some runs. Intervals are symmetric in log loss around the prediction."""
    missed = np.maximum(np.abs(error) - width / 2, 0.0)
    return {
        "runs": len(error),
        "bias": float(np.mean(error)),
        "mean_relative_error": float(np.mean(np.abs(np.expm1(error)))),
        "median_relative_error": float(np.median(np.abs(np.expm1(error)))),
        "coverage": float(np.mean(missed == 0)),
        "width": float(np.mean(width)),
        "interval_score": float(np.mean(width + MISS * missed)),
    }


def final_shares(runs: RunTable) -> np.ndarray:
    """Share of each run that is its final stage, (n,); 1 with one stage."""
    ratio, first, final = (
        np.asarray(getattr(runs.recipe, name))
        for name in ("target_ratio", "first_ratio", "final_ratio")
    )
    two = np.asarray(runs.recipe.is_two_stage)
    return np.where(two, (ratio - first) / np.where(two, final - first, 1.0), 1.0)


def kinds(runs: RunTable) -> dict[str, np.ndarray]:
    """Parts of a table by name, masks (n,)."""
    recipe = runs.recipe
    two, many = np.asarray(recipe.is_two_stage), np.asarray(recipe.epochs) >= MANY
    short = final_shares(runs) < SHORT
    large = np.asarray(recipe.n_params) > BANDS[-1][0]
    return {
        "one stage, under 12 epochs": ~two & ~many,
        "12 epochs and more": many,
        "two stages": two,
        "final stages under 20%": short,
        "up to 3.5e5 parameters": ~large,
        "larger": large,
    }


def stage_effects(fits: Fits, runs: RunTable) -> list[dict[str, Any]]:
    """What stages do to the loss, log, measured and foreseen, with all else equal."""
    alike = runs.to_frame()[["language", "n_params", "target_tokens", "seed"]].assign(
        total=np.asarray(runs.recipe.compute), ratio=np.round(runs.recipe.target_ratio, 3)
    )
    share = final_shares(runs)
    error, _ = foreseen(fits, runs)
    rows = []
    for place in alike.groupby(list(alike.columns), sort=True).indices.values():
        base = place[np.argmax(share[place])]
        for i in place[np.argsort(-share[place], kind="stable")]:
            if share[i] > share[base] - 0.01:
                continue
            measured = float(np.log(runs.loss[i] / runs.loss[base]))
            found = {name: float(getattr(runs.recipe, name)[i]) for name in _RECIPE}
            rows.append(
                {
                    "language": str(runs.language[i]), **found, "share": float(share[i]),
                    "base_share": float(share[base]), "measured": measured,
                    "foreseen": measured + float(error[i] - error[base]),
                }
            )  # fmt: skip
    return rows


def variants() -> dict[str, LogSpaceLaw]:
    """`m3` without what the second pilot changed in it, or with another scale of short stages."""

    def features(scale: float | None) -> Callable[..., dict[str, Any]]:
        def of(theta: Any, recipe: Recipe) -> dict[str, Any]:
            log_r, log_f = jnp.log(recipe.target_ratio), jnp.log(recipe.final_ratio)
            counts = -jnp.expm1(-recipe.stage_fraction / scale) if scale else 1.0
            return {**M3.features(theta, recipe), "counted_ratio": log_r + (log_f - log_r) * counts}

        return of

    whole = dataclasses.replace(M3, name="m3_whole_stages", features=features(None))
    # As it was, where R began, too.
    coefficients = tuple(
        dataclasses.replace(c, start=(30.0, 200.0)) if c.name == "R" else c for c in M3.coefficients
    )
    undiluted = {"diluting": (), "coefficients": coefficients}
    return {
        "as before": dataclasses.replace(whole, name="m3_as_before", **undiluted),
        "short stages count less": dataclasses.replace(M3, name="m3_undiluted", **undiluted),
        "harm dilutes": whole,
        "both: `m3`": M3,
        **{
            f"both, s0 = {scale:g}": dataclasses.replace(
                M3, name=f"m3_stages_by_{scale:g}", features=features(scale)
            )
            for scale in SCALES
        },
    }


def decision(
    small: RunTable, large: RunTable, known: Collection[str], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Scores of the `variants`, fitted to the small table and asked for the large.

    By language of the `known` runs, and of the others.
    """
    rows = []
    there = np.isin(large.run_id, list(known))
    for name, law in variants().items():
        say(f"{name}: fitted to {len(small)} runs, asked for {len(large)}")
        fits = fit(small, law, draws=draws, level=LEVEL, seed=seed)
        error, width = foreseen(fits, large)
        effects = stage_effects(fits, large.select(there))
        parts = {language: there & (large.language == language) for language in fits.languages}
        parts["trained afterwards"] = ~there
        for part, mask in parts.items():
            mask = mask & np.isfinite(error)
            if not mask.any():
                continue
            off = [r["measured"] - r["foreseen"] for r in effects if r["language"] == part]
            rows.append(
                {
                    "variant": name, "of": part, "decided_on": part in DECIDED,
                    **scores(error[mask], width[mask]),
                    **({"stages": float(np.sqrt(np.mean(np.square(off))))} if off else {}),
                }
            )  # fmt: skip
    return rows


def extrapolation(
    small: RunTable, large: RunTable, laws: Sequence[str], draws: int, seed: int
) -> list[dict[str, Any]]:
    """Each law's scores over all runs, by language and by kind of run."""
    rows = []
    for law in laws:
        say(f"{law}: fitted to {len(small)} runs, asked for {len(large)}")
        fits = fit(small, law, draws=draws, level=LEVEL, seed=seed)
        error, width = foreseen(fits, large)
        predicted = np.exp(error) * large.loss
        known = np.isfinite(error)
        parts = {
            "all": known,
            **{name: known & (large.language == name) for name in fits.languages},
            **{name: known & mask for name, mask in kinds(large).items()},
        }
        for name, mask in parts.items():
            if not mask.any():
                continue
            row = {"law": law, "of": name, **scores(error[mask], width[mask])}
            asked = fits.languages if name == "all" else (name,) if name in fits.languages else ()
            lost = [pair for each in asked for pair in regrets(large, each, predicted)]
            if lost:
                chosen, blind = np.mean(lost, axis=0)
                row |= {"choices": len(lost), "regret": float(chosen), "regret_blind": float(blind)}
            rows.append(row)
    return rows


def coefficients(
    tables: dict[str, RunTable], draws: int, seed: int
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """What each table says of every coefficient, by law and language.

    And of both tables, the coefficients of `m3` by language.
    """
    rows: list[dict[str, Any]] = []
    held: dict[str, dict[str, float]] = {}
    for scale, runs in tables.items():
        for law in COMPARED:
            fits = fit(runs, law, draws=draws, level=LEVEL, seed=seed)
            for i, language in enumerate(fits.languages):
                values, spans = fits.coefficients(language), fits.intervals(language)
                if (scale, law) == ("both", "m3"):
                    held[language] = values
                rows += [
                    {
                        "scale": scale, "law": law, "language": language, "r2": float(fits.r2[i]),
                        "coefficient": name, "value": value,
                        "low": spans[name][0], "high": spans[name][1],
                    }
                    for name, value in values.items()
                ]  # fmt: skip
    return rows, held


def eta_by_size(
    runs: RunTable, held: dict[str, dict[str, float]], draws: int, seed: int
) -> list[dict[str, Any]]:
    """η of `m3` in each band of model sizes, all else as both tables have it."""
    rows = []
    n_params = np.asarray(runs.recipe.n_params)
    for language, values in held.items():
        fixed = {name: value for name, value in values.items() if name != "eta"}
        for low, high in BANDS:
            mask = (runs.language == language) & (n_params > low) & (n_params <= high)
            two = int(np.sum(mask & np.asarray(runs.recipe.is_two_stage)))
            if not two:
                continue
            fits = fit(
                runs.select(mask), "m3", fixed=fixed, draws=draws, level=LEVEL, seed=seed,
                intervals="bootstrap",
            )  # fmt: skip
            span = fits.intervals(language)["eta"]
            rows.append(
                {
                    "language": language, "from_params": low, "to_params": min(high, 1e12),
                    "runs": int(mask.sum()), "two_stage": two,
                    "eta": fits.coefficients(language)["eta"], "low": span[0], "high": span[1],
                }
            )  # fmt: skip
    return rows


def study(
    small: RunTable,
    large: RunTable,
    laws: Sequence[str],
    known: Collection[str],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """All of it."""
    shared = [name for name in large.languages if name in small.languages]
    small = small.select(np.isin(small.language, shared))
    asked = large.select(np.isin(large.language, shared))
    frames = [table.to_frame() for table in (small, asked)]
    both = RunTable.from_frame(pd.concat(frames, ignore_index=True))
    tables = {"small": small, "large": asked, "both": both}
    rows, held = coefficients(tables, draws, seed)
    stages = stage_effects(fit(small, "m3", draws=draws, level=LEVEL, seed=seed), asked)
    return {
        "draws": draws,
        "small": _extent(small),
        "large": _extent(asked),
        "laws": extrapolation(small, asked, laws, draws, seed),
        "stages": stages,
        "decision": decision(small, asked, known, draws, seed),
        "coefficients": rows,
        "eta_by_size": eta_by_size(both, held, draws, seed),
    }


def _extent(runs: RunTable) -> dict[str, Any]:
    recipe = runs.recipe
    return {
        "runs": len(runs),
        "languages": list(runs.languages),
        "largest_model": float(np.max(recipe.n_params)),
        "dearest_run": float(np.max(recipe.compute)),
        "compute": float(np.sum(recipe.compute)),
    }


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    head = ("runs", "bias", "error", "median", "cover", "width", "score", "regret", "blind")
    print(f"{'':20} {'':26}" + "".join(f"{name:>8}" for name in head))
    for row in sorted(result["laws"], key=lambda row: row["of"] != "all"):
        numbers = [row[k] for k in ("bias", "mean_relative_error", "median_relative_error",
                                    "coverage", "width", "interval_score")]  # fmt: skip
        numbers += [row[k] for k in ("regret", "regret_blind") if k in row]
        print(f"{row['law']:20} {row['of']:26}{row['runs']:8}"
              + "".join(f"{number:8.3f}" for number in numbers))  # fmt: skip
    for row in result["stages"]:
        print(
            f"{row['language']:12} {row['n_params']:.3g} parameters, r = {row['target_ratio']:.3f}:"
            f" {row['first_ratio']:.2f} then {row['final_ratio']:.2f} in the last"
            f" {row['share']:.0%}, against {row['base_share']:.0%}:"
            f" {row['measured']:+.1%}, foreseen {row['foreseen']:+.1%}"
        )
    for row in result["decision"]:
        print(
            f"{row['variant']:26} {row['of']:18}"
            f" {'decided on' if row['decided_on'] else 'reported':11}"
            + "".join(
                f" {name} {row[name]:.4f}"
                for name in (
                    "mean_relative_error", "median_relative_error", "coverage", "interval_score",
                    "stages",
                )
                if name in row
            )
        )  # fmt: skip
    for row in result["coefficients"]:
        if row["coefficient"] in ("gamma", "eta", "phi", "delta", "kappa", "omega", "R"):
            print(
                f"{row['law']:10} {row['language']:12} {row['coefficient']:7} {row['scale']:6}"
                f" {row['value']:10.4g} ({row['low']:.4g} to {row['high']:.4g})"
            )
    for row in result["eta_by_size"]:
        print(
            f"{row['language']:12} {row['from_params']:.3g} to {row['to_params']:.3g} parameters,"
            f" {row['two_stage']} of {row['runs']} runs with two stages:"
            f" eta {row['eta']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        )


def main() -> int:
    parser = new_parser(__doc__)
    data = resources.files("m3jax") / "data"
    parser.add_argument("--small", type=Path, default=Path(str(data / "pilot_debian.csv")))
    parser.add_argument("--large", type=Path, default=Path(str(data / "pilot_debian_2.csv")))
    parser.add_argument("--laws", default="all", help="all, or names: m3,chinchilla")
    parser.add_argument(
        "--decided",
        type=Path,
        default=DECIDED_RUNS,
        help="runs of --large that `m3` was changed by",
    )
    parser.add_argument("--draws", type=int, default=200)
    options, as_json = parse(parser)
    laws = list_laws() if options["laws"] == "all" else options["laws"].split(",")
    small, large = (RunTable.read(options[name]) for name in ("small", "large"))
    result = study(
        small,
        large,
        [get_law(law).name for law in laws],
        pd.read_csv(options["decided"])["run_id"].astype(str).tolist(),
        options["draws"],
        options["seed"],
    )
    return print_result(result, as_json, show)


if __name__ == "__main__":
    sys.exit(main())
