"""How often do the bootstrap intervals of the loss at the best recipe hold the truth?

    python -m benchmarks.coverage --json

Made-up languages with known `m3` coefficients get noisy runs, again and again; each time the law is
fitted, the best recipe found, and the interval of the loss there held against the noiseless loss.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.synthetic import run_table, true_loss, true_theta
from m3jax import Fits, Recommendations, fit, optimize
from m3jax.fitting import interval

COMPUTE, TARGET_TOKENS = 3e19, 1e8  # in the middle of the runs: 6 · 1e8 · 5e10, and a scarce corpus


def hits(theta: np.ndarray, fits: Fits, found: Recommendations) -> tuple[np.ndarray, np.ndarray]:
    """Whether each language's interval holds the truth, and the relative error of the estimate."""
    inside, error = [], []
    for i, (name, one) in enumerate(zip(fits.languages, theta, strict=True)):
        recipe = found.at(i, 0, 0)
        truth = float(true_loss(one, recipe))
        # What `Recommendations.loss_low` and `loss_high` hold, without solving under every draw.
        low, high = interval(fits.predict_draws(recipe, name), fits.settings["level"])
        inside.append(low <= truth <= high)
        error.append(found.loss[i, 0, 0] / truth - 1)
    return np.array(inside), np.array(error)


def study(
    *,
    languages: int,
    repeats: int,
    runs: int,
    noise: float,
    starts: int,
    draws: int,
    delta: float,
    seed: int,
) -> dict[str, Any]:
    theta = true_theta(languages, seed)
    held, errors, started = [], [], time.time()
    for repeat in range(repeats):
        table = run_table(theta, runs, noise, seed + 1 + repeat)
        fits = fit(table, starts=starts, draws=draws, huber_delta=delta, seed=repeat)
        found = optimize(fits, compute=COMPUTE, target_tokens=TARGET_TOKENS, draws=0)
        inside, error = hits(theta, fits, found)
        held.append(inside)
        errors.append(error)
        if (repeat + 1) % 10 == 0 or repeat + 1 == repeats:
            print(
                f"{repeat + 1}/{repeats} repeats, coverage so far {np.mean(held):.3f},"
                f" {time.time() - started:.0f} s",
                file=sys.stderr,
            )
    by_language = np.mean(held, axis=0)
    return {
        "languages": languages,
        "repeats": repeats,
        "runs": runs,
        "noise": noise,
        "starts": starts,
        "draws": draws,
        "huber_delta": delta,
        "level": 0.9,
        "coverage": float(np.mean(held)),
        "coverage_by_language": {
            "lowest": float(by_language.min()),
            "median": float(np.median(by_language)),
            "highest": float(by_language.max()),
        },
        "median_abs_relative_error": float(np.median(np.abs(errors))),
        "mean_relative_error": float(np.mean(errors)),
        "seconds": time.time() - started,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--languages", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--runs", type=int, default=100, help="per language")
    parser.add_argument("--noise", type=float, default=0.005, help="sd of the log loss")
    parser.add_argument("--starts", type=int, default=32)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--delta", type=float, default=1e-3, help="Huber delta of the fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    result = study(**arguments)
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
