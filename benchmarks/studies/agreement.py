"""Do the solvers of the optimiser agree with each other and with CVXPY?

    python -m benchmarks.studies.agreement --problems 500 --json

Random `m3_posynomial` problems: coefficients, budgets and the pattern of active limits are drawn.
CVXPY solves each regime as a geometric program; m3jax's convex solver comes with a duality gap; its
general solver knows nothing of convexity.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import jax
import numpy as np

from benchmarks.support.measure import lacking
from benchmarks.support.recipe_terms import Terms
from benchmarks.support.recipes import fits_of
from benchmarks.support.script import new_parser, parse, print_result
from m3jax.laws import get_law
from m3jax.optimization import LIMITS, Question, solve
from m3jax.recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE

LAW = "m3_posynomial"
NO_LIMIT = np.inf


def random_questions(count: int, seed: int) -> Question:
    """Problems with many patterns of active limits: some caps are there, some bounds are tight."""
    rng = np.random.default_rng(seed)

    def between(low: float, high: float) -> np.ndarray:
        return np.exp(rng.uniform(np.log(low), np.log(high), count))

    def perhaps(values: np.ndarray, share: float = 0.4) -> np.ndarray:
        return np.where(rng.random(count) < share, values, NO_LIMIT)

    ones = np.ones(count)
    # A final ratio binds recipes of two stages only, which the others do not tell apart.
    highest_final_ratio = ones
    compute, tokens = between(1e18, 1e21), between(1e7, 1e9)
    return Question(
        compute=compute,
        target_tokens=tokens,
        low=np.stack([between(1e6, 1e8), between(1, 2), between(0.02, 0.2), np.full(count, 0.02)]),
        high=np.stack([between(2e8, 1e12), between(2, 64), ones, highest_final_ratio]),
        stage_low=between(0.05, 0.2),
        stage_high=between(0.3, 1.0),
        first_share=rng.choice([0.0, 0.2], count),
        first_ratio=np.zeros(count),
        total_tokens=perhaps(between(3e9, 1e12)),
        source_tokens=np.full(count, NO_LIMIT),
        inference_tokens=np.where(rng.random(count) < 0.3, between(1e9, 1e12), 0.0),
        gpu_flops=perhaps(compute * between(0.1, 2.0)),
        least_tokens=tokens,  # all of the text is read, as the others' problems have it
    )


def posynomial_theta(count: int, seed: int) -> np.ndarray:
    """Coefficients (p, count)."""
    return fits_of(count, seed, LAW).theta.T.copy()


def geometric_program(theta: np.ndarray, question: Question, p: int) -> float:
    """Best log loss over the regimes by CVXPY's geometric programs; infinite for none."""
    import cvxpy as cp

    q = {name: np.asarray(leaf)[..., p] for name, leaf in vars(question).items()}
    terms = Terms.of(get_law(LAW), theta[:, p], float(q["target_tokens"]))
    # In units of the middle of the boxes, so that no number is huge.
    middle = np.log([1e8, 4.0, 0.3, 0.6])
    shift = terms.constant + terms.slope @ middle
    best = np.inf
    for regime in (MONOLINGUAL, SINGLE_STAGE, TWO_STAGE):
        x = cp.Variable(4, pos=True)
        n, k, r, f = (x[i] * float(np.exp(middle[i])) for i in range(4))
        loss = sum(
            float(np.exp(c)) * cp.prod(cp.hstack([x[i] ** float(a) for i, a in enumerate(row)]))
            for c, row in zip(shift, terms.slope, strict=True)
        )
        tokens = float(q["target_tokens"])
        total = k * tokens / r
        spent = 6 * n * total
        if q["inference_tokens"] > 0:
            spent = spent + 2 * n * float(q["inference_tokens"])
        limits = [spent / float(q["compute"]) <= 1]
        limits += [n >= q["low"][0], k >= q["low"][1], n <= q["high"][0], k <= q["high"][1]]
        if np.isfinite(q["gpu_flops"]):
            limits.append(6 * n * total / float(q["gpu_flops"]) <= 1)
        if np.isfinite(q["total_tokens"]):
            limits.append(total / float(q["total_tokens"]) <= 1)
        if regime == MONOLINGUAL:
            limits += [r == 1, f == 1]
            if q["high"][3] < 1:
                continue
        else:
            limits += [r >= q["low"][2], r <= q["high"][2], f >= q["low"][3], f <= q["high"][3]]
        if regime == SINGLE_STAGE:
            limits.append(f / r == 1)
        if regime == TWO_STAGE:
            share = float(q["first_share"])
            limits += [
                f / r <= share + (1 - share) / float(q["stage_low"]),
                f / r >= share + (1 - share) / float(q["stage_high"]),
            ]
        problem = cp.Problem(cp.Minimize(loss), limits)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of inaccuracy at so tight a tolerance
                problem.solve(gp=True, solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11)
        except cp.error.SolverError:
            continue
        if problem.status in ("optimal", "optimal_inaccurate"):
            best = min(best, float(np.log(problem.value)))
    return best


def random_problems(count: int, seed: int) -> tuple[np.ndarray, Question, np.ndarray]:
    """Coefficients (p, count), problems, and the regimes on offer (3, count)."""
    question = random_questions(count, seed)
    regimes = np.ones((3, count), dtype=bool)
    regimes[MONOLINGUAL] = question.high[3] >= 1
    return posynomial_theta(count, seed), question, regimes


def study(problems: int, seed: int) -> dict[str, Any]:
    """Everything that `main` prints."""
    theta, question, regimes = random_problems(problems, seed)
    law = get_law(LAW)
    with jax.enable_x64(True):
        convex = solve(law, theta, question, regimes)
        general = solve(law, theta, question, regimes, method="general")
    best, by_general = convex.log_loss.min(axis=0), general.log_loss.min(axis=0)
    solved = np.isfinite(best)
    by_regime_solved = np.isfinite(convex.log_loss)
    regime = np.argmin(convex.log_loss, axis=0)[solved]
    active = convex.multipliers[regime, :, np.flatnonzero(solved)] > 1e-6
    result: dict[str, Any] = {
        "problems": problems,
        "solvable": int(solved.sum()),
        "patterns_of_active_limits": len(np.unique(active, axis=0)),
        "limits_ever_active": [
            name for name, ever in zip(LIMITS, active.any(axis=0), strict=True) if ever
        ],
        "max_gap": float(
            (convex.log_loss[by_regime_solved] - convex.bound[by_regime_solved]).max()
        ),
        "general": {
            "same_solvable": bool(np.all(np.isfinite(by_general) == solved)),
            "max_difference": float(np.abs(by_general[solved] - best[solved]).max()),
        },
    }
    if lacking("cvxpy", "cvxpy"):
        return result | {"cvxpy": {"available": False, "reason": lacking("cvxpy", "cvxpy")}}
    expected = np.array([geometric_program(theta, question, p) for p in range(problems)])
    both = solved & np.isfinite(expected)
    result["cvxpy"] = {
        "available": True,
        "same_solvable": bool(np.all(np.isfinite(expected) == solved)),
        "compared": int(both.sum()),
        "max_difference": float(np.abs(expected[both] - best[both]).max()),
        "max_m3jax_excess": float((best[both] - expected[both]).max()),
    }
    return result


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    for name in ("general", "cvxpy"):
        print(f"{name}: {result[name]}")
    print(f"{result['solvable']} problems, duality gap at most {result['max_gap']:.2g}")


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--problems", type=int, default=500)
    options, as_json = parse(parser)
    return print_result(study(**options), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
