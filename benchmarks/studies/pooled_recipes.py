"""How good are the recipes of languages that have a handful of runs each, and are pooled?

    python -m benchmarks.studies.pooled_recipes --json

Made-up languages with known `m3` coefficients get 4 to 6 noisy runs each, at recipes of their own,
and are fitted together. `optimize` then answers for budgets and corpora beyond the runs, with no
limits given. Held against the truth: the regret of the recipe, its true loss over that of the truly
best recipe on the ground that all runs together cover, less 1; how often the interval of each of
the recipe's variables holds the truly best recipe's; and how often the interval of the loss holds
the recipe's true loss.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks.studies.pooling import few_runs, made_up
from benchmarks.support.script import new_parser, parse, print_result
from benchmarks.support.synthetic import true_loss
from m3jax import fit, optimize
from m3jax.recipe import Recipe

KINDS = ("synthetic", "alike", "middling")
RUNS = (4, 6)  # of a language, fewest and most
# Budget in FLOP and unique target tokens: half of the runs cost less than 2e18 FLOP, and their
# corpora go up to 1e9 tokens.
QUESTIONS = ((1e21, 1e8), (1e21, 1e9), (1e22, 3e9))
VARIABLES = ("n_params", "epochs", "target_ratio", "final_ratio")
SAME = 1e-3  # relative: what is the same within the solver's tolerance
TINY = {"kinds": KINDS[:1], "languages": 12, "draws": 40}


def study(
    *, kinds: Sequence[str], languages: int, noise: float, draws: int, objective: str, seed: int
) -> dict[str, Any]:
    """Regret and coverage by kind of population and question, and for all questions together."""
    return {kind: of_population(kind, languages, noise, draws, objective, seed) for kind in kinds}


def of_population(
    kind: str, languages: int, noise: float, draws: int, objective: str, seed: int
) -> dict[str, Any]:
    """The same for one kind, see `pooling.made_up`."""
    theta = made_up(kind, languages, seed)
    counts = np.random.default_rng([seed, 11]).integers(RUNS[0], RUNS[1] + 1, languages)
    begun = time.perf_counter()
    runs = few_runs(theta, counts, noise, seed)
    fits = fit(runs, pool="partial", draws=draws, seed=seed)
    seconds = time.perf_counter() - begun
    truth = dataclasses.replace(fits, theta=theta)
    by_question = []
    for compute, tokens in QUESTIONS:
        question = {"compute": compute, "target_tokens": tokens}
        best = optimize(truth, **question, **ground(runs.recipe), draws=0)
        asked = {} if objective == "default" else {"objective": objective}
        chosen = optimize(fits, **question, **asked, draws=draws)
        recipe, optimum = (_flat(each.recipe) for each in (chosen, best))
        loss = true_loss(theta[:, None], jax.tree.map(lambda leaf: leaf[:, None], recipe))[:, 0]
        row = {"regret": loss / best.loss[:, 0, 0] - 1}
        low, high = _flat(chosen.recipe_low), _flat(chosen.recipe_high)
        for name in VARIABLES:
            a, b, value = (getattr(each, name) for each in (low, high, optimum))
            row[f"holds_{name}"] = (a <= value * (1 + SAME)) & (value <= b * (1 + SAME))
            row[f"width_{name}"] = np.log(b / a)
        a, b = chosen.loss_low[:, 0, 0], chosen.loss_high[:, 0, 0]
        row["holds_loss"] = (a <= loss) & (loss <= b)
        row["width_loss"] = np.log(b / a)
        row["expected_regret"] = chosen.regret[:, 0, 0] / best.loss[:, 0, 0]
        by_question.append(row)
    together = {name: np.concatenate([row[name] for row in by_question]) for name in by_question[0]}
    return {
        "all": summary(together),
        **{
            f"{compute:.0e} FLOP, {tokens:.0e} tokens": summary(row)
            for (compute, tokens), row in zip(QUESTIONS, by_question, strict=True)
        },
        "fit_seconds": seconds,
    }


def ground(recipe: Recipe) -> dict[str, Any]:
    """What runs (n,) cover, as limits; the model may be as large as it pays to be."""
    fraction = recipe.stage_fraction[recipe.is_two_stage]
    return {
        "n_params": (recipe.n_params.min(), 1e4 * recipe.n_params.max()),
        "epochs": (1.0, recipe.epochs.max()),
        "target_ratio": (recipe.target_ratio.min(), 1.0),
        "final_ratio": (recipe.target_ratio.min(), 1.0),
        "stage_fraction": (fraction.min(), fraction.max()),
        "first_share": 0.0,
    }


def _flat(recipe: Recipe) -> Recipe:
    return jax.tree.map(lambda leaf: leaf[:, 0, 0], recipe)


def summary(row: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of one number for each language, (L,): quantiles of the regret, means of the rest."""
    regret = row["regret"]
    return {
        "regret_median": float(np.median(regret)),
        "regret_p90": float(np.quantile(regret, 0.9)),
        "regret_worst": float(regret.max()),
        "expected_regret": float(np.median(row["expected_regret"])),
        "coverage": {name: float(np.mean(row[f"holds_{name}"])) for name in (*VARIABLES, "loss")},
        "log_width": {
            name: float(np.median(row[f"width_{name}"])) for name in (*VARIABLES, "loss")
        },
    }


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    for kind, questions in result["populations"].items():
        print(f"Languages {kind}, fitted in {questions['fit_seconds']:.0f} s:")
        for name, row in questions.items():
            if name == "fit_seconds":
                continue
            held = "  ".join(f"{key} {value:.2f}" for key, value in row["coverage"].items())
            print(
                f"  {name:26s} regret {row['regret_median']:.2%} median,"
                f" {row['regret_p90']:.2%} of 90%, {row['regret_worst']:.1%} worst; held: {held}"
            )


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--languages", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.01, help="sd of log losses")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--objective", default="default", help="of optimize, if not its default")
    parser.add_argument("--tiny", action="store_true", help="a few languages, to see that it runs")
    options, as_json = parse(parser)
    if options.pop("tiny"):
        options |= TINY
    return print_result({"populations": study(**options), **options}, as_json, show)


if __name__ == "__main__":
    sys.exit(main())
