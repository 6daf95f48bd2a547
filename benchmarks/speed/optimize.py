"""How many recipe problems can be solved in a second, and how well?

    python -m benchmarks.speed.optimize --problems 100000 --json

Problems are languages with known coefficients × budgets × corpus sizes; each asks for the best of
three regimes. m3jax answers them all in one call of `optimize`, timed when it is warm.
The peers answer some of them, on all cores, with as many random starts as they need to find what
m3jax finds as often as m3jax does: SciPy's SLSQP and trust-constr with exact gradients in NumPy,
optax's Adam on an augmented Lagrangian, plainly vmapped, and CVXPY's geometric programs
(`m3_posynomial`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import m3jax
from benchmarks.support.measure import device_name, lacking, machine, repeated
from benchmarks.support.recipe_peers import (
    AS_GOOD,
    RECIPE_PEERS,
    Problem,
    plain_optax,
    race,
    worker_pool,
)
from benchmarks.support.recipes import BOUNDS, COMPUTE, LAWS, TOKENS, fits_of
from benchmarks.support.script import Say, new_parser, parse, print_result, say

ALL_PEERS = (*RECIPE_PEERS, "plain_optax")


def grid(problems: int, languages: int) -> tuple[np.ndarray, np.ndarray]:
    """Budgets and corpus sizes that make at least so many problems."""
    budgets = int(np.ceil(np.sqrt(problems / languages)))
    corpora = int(np.ceil(problems / languages / budgets))
    return np.geomspace(*COMPUTE, budgets), np.geomspace(*TOKENS, corpora)


def recommend(
    fits: m3jax.Fits, budgets: np.ndarray, corpora: np.ndarray, *, certify: bool = False
) -> m3jax.Recommendations:
    """What is timed: `optimize` for every language, budget and corpus size."""
    return m3jax.optimize(
        fits, compute=budgets, target_tokens=corpora, draws=0, certify=certify, **BOUNDS
    )


def count_infeasible(recommendations: m3jax.Recommendations, budgets: np.ndarray) -> int:
    """Answers that break a limit by more than 1e-6, or are missing."""
    r, slack = recommendations.recipe, 1 + 1e-6
    good = recommendations.feasible & (r.compute <= budgets[None, :, None] * slack)
    for name in ("n_params", "epochs", "target_ratio", "final_ratio"):
        low, high = BOUNDS[name]
        value = getattr(r, name)
        good &= (value >= low / slack) & (value <= high * slack)
    low, high = BOUNDS["stage_fraction"]
    good &= (r.stage_fraction >= low / slack) & (r.stage_fraction <= high * slack) | ~r.is_two_stage
    return int(np.sum(~good))


def study(
    *,
    problems: int,
    languages: int,
    certified: int,
    peer_problems: int,
    peers: Sequence[str],
    seed: int,
    say: Say,
) -> dict[str, Any]:
    """Everything that `main` prints, as one JSON document."""
    budgets, corpora = grid(problems, languages)
    fits = {law: fits_of(languages, seed, law) for law in LAWS}
    pool = worker_pool() if peer_problems and peers else None
    say(f"m3jax: {languages * len(budgets) * len(corpora)} problems")
    timed = repeated(lambda: recommend(fits["m3"], budgets, corpora))
    total = timed.result.loss.size

    say("m3jax: the same under m3_posynomial")
    convex = repeated(lambda: recommend(fits["m3_posynomial"], budgets, corpora))
    gap = float(np.max(convex.result.gap))

    say(f"m3jax: {certified} of them certified")
    rng = np.random.default_rng([seed, 6])
    result: dict[str, Any] = {
        "problems": total,
        "seed": seed,
        "seconds": timed.seconds,
        "compile_s": timed.compile_s,
        "problems_per_second": total / timed.seconds,
        "infeasible": sum(count_infeasible(t.result, budgets) for t in (timed, convex)),
        "max_relative_gap": gap,
        "max_kkt_residual": float(timed.result.kkt.max()),
        "posynomial": {
            "problems": total,
            "seconds": convex.seconds,
            "problems_per_second": total / convex.seconds,
            "max_relative_gap": gap,
        },
    }
    # Certified problems: a smaller grid of all languages, away from the corners of the large one.
    jitter = np.exp(rng.uniform(-0.1, 0.1, 2))
    coarse = [
        axis * factor for axis, factor in zip(grid(certified, languages), jitter, strict=True)
    ]
    proof = repeated(lambda: recommend(fits["m3"], *coarse, certify=True))
    fast = recommend(fits["m3"], *coarse)
    excess = np.log(fast.loss / proof.result.loss)
    result["certified"] = {
        "problems": proof.result.loss.size,
        "seconds": proof.seconds,
        "problems_per_second": proof.result.loss.size / proof.seconds,
        "max_relative_gap": float(np.expm1(proof.result.gap.max())),
        "fast_agrees_share": float(np.mean(excess <= AS_GOOD)),
        "fast_within_gap_share": float(np.mean(excess <= 1e-4)),
        "fast_max_excess": float(excess.max()),
    }
    share = result["certified"]["fast_agrees_share"]

    result["peers"] = {}
    chosen = rng.permutation(total)[:peer_problems]
    for name in peers if peer_problems else ():
        law = "m3_posynomial" if name == "cvxpy_dgp" else "m3"
        if name == "cvxpy_dgp" and (reason := lacking("cvxpy", "cvxpy")):
            result["peers"][name] = {"available": False, "reason": reason}
            continue
        subset = chosen[: max(8, peer_problems // {"slsqp": 1, "plain_optax": 1}.get(name, 10))]
        answers = (convex if law == "m3_posynomial" else timed).result
        best = np.log(answers.loss.ravel()[subset])
        cells = np.unravel_index(subset, answers.loss.shape)
        subset_problems = [
            Problem(law, fits[law].theta[i], float(budgets[j]), float(corpora[t]), int(p))
            for p, i, j, t in zip(subset, *cells, strict=True)
        ]
        say(f"{name}: {len(subset_problems)} problems")
        if name == "plain_optax":
            row = plain_optax(subset_problems, best)
        else:
            assert pool is not None
            row, ends = race(name, subset_problems, best, share, pool)
            row["m3jax_max_excess"] = float(np.max(best - ends))
        m3jax_row = result["posynomial"] if law == "m3_posynomial" else result
        row["ratio"] = m3jax_row["problems_per_second"] / row["problems_per_second"]
        result["peers"][name] = row
    if pool is not None:
        pool.shutdown()
    result["ratio_slsqp"] = result["peers"].get("slsqp", {}).get("ratio")
    result["machine"] = machine(device_name())
    return result


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    print(
        f"m3: {result['problems']} problems in {result['seconds']:.3g} s,"
        f" {result['problems_per_second']:.0f} a second; {result['infeasible']} infeasible"
    )
    print(
        f"m3_posynomial: {result['posynomial']['problems_per_second']:.0f} a second, duality gap at"
        f" most {result['max_relative_gap']:.2g}"
    )
    proof = result["certified"]
    print(
        f"certified: {proof['problems']} problems, {proof['problems_per_second']:.0f} a second, gap"
        f" at most {proof['max_relative_gap']:.2g}; {proof['fast_agrees_share']:.2%} of the fast"
        " answers agree"
    )
    for name, peer in result["peers"].items():
        if not peer["available"]:
            print(f"{name}: {peer['reason']}")
            continue
        print(
            f"{name}: {peer['problems_per_second']:.3g} a second with {peer['starts']} starts"
            f" ({peer['success']:.2%} found), m3jax {peer['ratio']:.4g} times as many"
        )


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--problems", type=int, default=100_000)
    parser.add_argument("--languages", type=int, default=100)
    parser.add_argument("--certified", type=int, default=1000, help="problems to certify")
    parser.add_argument("--peer-problems", type=int, default=400, help="0 for no peers")
    parser.add_argument("--peers", default=",".join(ALL_PEERS))
    options, as_json = parse(parser)
    options["peers"] = [name for name in options["peers"].split(",") if name]
    unknown = set(options["peers"]) - set(ALL_PEERS)
    if unknown:
        parser.error(f"unknown peers {', '.join(sorted(unknown))}")
    return print_result(study(**options, say=say), as_json, show)


if __name__ == "__main__":
    sys.exit(main())
