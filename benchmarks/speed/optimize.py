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

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import jax
import numpy as np

import m3jax
from benchmarks.support import recipes as _recipes
from benchmarks.support.measure import cores, device_name, environment, lacking, machine, repeated
from benchmarks.support.recipes import BOUNDS, COMPUTE, TOKENS, Terms, faces, fits_of, starts

CLOSE = 1e-6  # excess of the log loss over the best known that counts as found
TRIED = (1, 2, 3, 4, 6, 8, 12, 16)  # starts for each regime
KEPT = 1e-7  # a limit overstepped by less, in log units, counts as kept

Item = tuple[str, np.ndarray, float, float, int]  # law, theta, compute, target tokens, seed


def grid(problems: int, languages: int) -> tuple[np.ndarray, np.ndarray]:
    """Budgets and corpus sizes that make at least so many problems."""
    side = int(np.ceil(np.sqrt(problems / languages)))
    other = int(np.ceil(problems / languages / side))
    return np.geomspace(*COMPUTE, side), np.geomspace(*TOKENS, other)


def ask(fits: m3jax.Fits, budgets: np.ndarray, sizes: np.ndarray, **more: Any) -> Any:
    return m3jax.optimize(fits, compute=budgets, target_tokens=sizes, draws=0, **BOUNDS, **more)


# Peers, one problem at a time


def _scipy(method: str, item: Item, count: int) -> tuple[np.ndarray, float]:
    """Best log loss of so many starts in each regime, running minimum over starts; seconds."""
    from scipy.optimize import Bounds, LinearConstraint, minimize

    law, theta, compute, tokens, seed = item
    law_ = m3jax.get_law(law)
    rng = np.random.default_rng(seed)
    sides = [(face, starts(face, count, rng)) for face in faces(compute, tokens).values()]
    started = time.perf_counter()
    terms = Terms.of(law_, theta, tokens)
    found = np.full((3, count), np.inf)
    for regime, (face, points) in enumerate(sides):
        plane = face.plane

        def both(x: np.ndarray, plane: np.ndarray = plane) -> tuple[float, np.ndarray]:
            loss, gradient = terms.both(plane @ x)
            return loss, gradient @ plane

        for s, point in enumerate(points):
            options: dict[str, Any]
            if method == "SLSQP":
                limits: Any = {
                    "type": "ineq",
                    "fun": lambda x, f=face: f.right - f.matrix @ x,
                    "jac": lambda x, f=face: -f.matrix,
                }
                options = {"ftol": 1e-9, "maxiter": 200}
            else:
                limits = LinearConstraint(face.matrix, -np.inf, face.right)
                options = {"gtol": 1e-7, "xtol": 1e-9, "barrier_tol": 1e-8, "maxiter": 500}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                end = minimize(
                    both,
                    point,
                    jac=True,
                    bounds=Bounds(face.low, face.high),
                    constraints=limits,
                    method=method,
                    options=options,
                )
            if np.all(face.matrix @ end.x <= face.right + KEPT) and np.isfinite(end.fun):
                found[regime, s] = end.fun
    seconds = time.perf_counter() - started
    return np.minimum.accumulate(found, axis=1).min(axis=0), seconds


def slsqp(item: Item, count: int) -> tuple[np.ndarray, float]:
    return _scipy("SLSQP", item, count)


def trust_constr(item: Item, count: int) -> tuple[np.ndarray, float]:
    return _scipy("trust-constr", item, count)


def cvxpy_dgp(item: Item, count: int) -> tuple[np.ndarray, float]:
    """The geometric programs of the three regimes, by CVXPY and Clarabel."""
    import cvxpy as cp

    law, theta, compute, tokens, _ = item
    terms = Terms.of(m3jax.get_law(law), theta, tokens)
    started = time.perf_counter()
    best = np.inf
    for face in faces(compute, tokens).values():
        d = len(face.low)
        x = cp.Variable(d, pos=True)
        slope = terms.slope @ face.plane

        def monomial(powers: np.ndarray, constant: float, x: Any = x) -> Any:
            product = np.exp(constant)
            for i, power in enumerate(powers):
                if power:
                    product = product * x[i] ** float(power)
            return product

        # Quoted at the middle of the box, so that no number is huge.
        loss = sum(monomial(a, c) for a, c in zip(slope, terms.constant, strict=True))
        limits = [
            monomial(row, -right) <= 1 for row, right in zip(face.matrix, face.right, strict=True)
        ]
        limits += [x >= np.exp(face.low), x <= np.exp(face.high)]
        problem = cp.Problem(cp.Minimize(loss), limits)
        problem.solve(
            gp=True, solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
        )
        if problem.status in ("optimal", "optimal_inaccurate"):
            best = min(best, float(np.log(problem.value)))
    return np.full(count, best), time.perf_counter() - started


PEERS: dict[str, Callable[[Item, int], tuple[np.ndarray, float]]] = {
    "slsqp": slsqp,
    "trust_constr": trust_constr,
    "cvxpy_dgp": cvxpy_dgp,
}


def _warm() -> None:
    import scipy.optimize  # noqa: F401


def race(
    name: str, items: Sequence[Item], best: np.ndarray, share: float, pool: ProcessPoolExecutor
) -> dict[str, Any]:
    """A peer on some problems, on all cores: the fewest starts that find the best often enough."""
    tried = (1,) if name == "cvxpy_dgp" else TRIED
    row: dict[str, Any] = {"available": True, "problems": len(items), "tried": []}
    for count in tried:
        began = time.perf_counter()
        # Whole batches, so that handing them out costs the peer nothing.
        parts = list(
            pool.map(
                PEERS[name], items, [count] * len(items), chunksize=-(-len(items) // (4 * cores()))
            )
        )
        seconds = time.perf_counter() - began
        ends = np.array([losses[-1] for losses, _ in parts])
        row |= {
            "starts": count,
            "success": float(np.mean(ends <= best + CLOSE)),
            "median_excess": float(np.median(np.maximum(ends - best, 0.0))),
            "seconds": seconds,
            "problems_per_second": len(items) / seconds,
            "reached": bool(np.mean(ends <= best + CLOSE) >= share),
        }
        row["tried"].append({key: row[key] for key in ("starts", "success", "problems_per_second")})
        if row["reached"]:
            break
    row["ends"] = ends
    return row


def plain_optax(items: Sequence[Item], best: np.ndarray) -> dict[str, Any]:
    """What one would write first: Adam on an augmented Lagrangian from eight starts, vmapped."""
    import jax.numpy as jnp
    import optax

    law = m3jax.get_law(items[0][0])
    count, rounds, steps, penalty = 8, 6, 100, 10.0
    kinds = list(faces(items[0][2], items[0][3]).values())
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, rounds * steps, 0.001))

    def solver(face: Any) -> Any:
        plane, matrix = jnp.asarray(face.plane), jnp.asarray(face.matrix)
        low, high = jnp.asarray(face.low), jnp.asarray(face.high)

        def run(theta: Any, tokens: Any, right: Any, x: Any) -> Any:
            def loss(x: Any) -> Any:
                z = plane @ x
                n, k, r, f = jnp.exp(z)
                return law.log_loss_theta(theta, m3jax.Recipe(n, tokens, k, r, f, 0.0))

            def lagrangian(x: Any, m: Any) -> Any:
                excess = matrix @ x - right
                return loss(x) + jnp.sum(jnp.maximum(m + penalty * excess, 0.0) ** 2) / (
                    2 * penalty
                )

            def one(carry: Any, _: Any) -> Any:
                x, m, state = carry
                updates, state = optimiser.update(jax.grad(lagrangian)(x, m), state)
                return (jnp.clip(optax.apply_updates(x, updates), low, high), m, state), None

            def stage(carry: Any, _: Any) -> Any:
                (x, m, state), _ = jax.lax.scan(one, carry, None, length=steps)
                return (x, jnp.maximum(m + penalty * (matrix @ x - right), 0.0), state), None

            begin = (x, jnp.zeros(len(right)), optimiser.init(x))
            (x, _, _), _ = jax.lax.scan(stage, begin, None, length=rounds)
            kept = jnp.all(matrix @ x <= right + 1e-4)
            return jnp.where(kept, loss(x), jnp.inf)

        return jax.jit(jax.vmap(jax.vmap(run, (None, None, None, 0))))

    def all_of_them() -> np.ndarray:
        found = []
        for solve, i in zip(solvers, range(3), strict=True):
            right = np.stack([list(faces(c, t).values())[i].right for _, _, c, t, _ in items])
            found.append(np.asarray(solve(theta, tokens, right, points[i])).min(axis=1))
        return np.min(found, axis=0)

    with jax.enable_x64(True):
        solvers = [solver(face) for face in kinds]
        theta = np.stack([item[1] for item in items])
        tokens = np.array([item[3] for item in items])
        rng = np.random.default_rng(0)
        points = [
            np.stack([starts(list(faces(c, t).values())[i], count, rng) for _, _, c, t, _ in items])
            for i in range(3)
        ]
        timed = repeated(all_of_them)
    return {
        "available": True,
        "problems": len(items),
        "starts": count,
        "success": float(np.mean(timed.result <= best + CLOSE)),
        "within_1e-4": float(np.mean(timed.result <= best + 1e-4)),
        "median_excess": float(np.median(np.maximum(timed.result - best, 0.0))),
        "seconds": timed.seconds,
        "problems_per_second": len(items) / timed.seconds,
        "reached": False,
    }


def oversteps(found: Any, budgets: np.ndarray) -> int:
    """Answers that break a limit by more than 1e-6, or are missing."""
    r, slack = found.recipe, 1 + 1e-6
    good = found.feasible & (r.compute <= budgets[None, :, None] * slack)
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
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Everything that `main` prints, as one JSON document."""
    budgets, sizes = grid(problems, languages)
    fits = {law: fits_of(languages, seed, law) for law in _recipes.LAWS}
    pool = None
    if peer_problems and peers:
        with environment({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}):
            pool = ProcessPoolExecutor(cores(), get_context("spawn"), initializer=_warm)
            list(pool.map(abs, range(4 * cores())))
    say(f"m3jax: {languages * len(budgets) * len(sizes)} problems")
    timed = repeated(lambda: ask(fits["m3"], budgets, sizes))
    found, total = timed.result, timed.result.loss.size

    say("m3jax: the same under m3_posynomial")
    convex = repeated(lambda: ask(fits["m3_posynomial"], budgets, sizes))
    gap = float(np.max(convex.result.gap))

    say(f"m3jax: {certified} of them certified")
    rng = np.random.default_rng([seed, 6])
    result: dict[str, Any] = {
        "problems": total,
        "seed": seed,
        "seconds": timed.seconds,
        "compile_s": timed.compile_s,
        "problems_per_second": total / timed.seconds,
        "infeasible": oversteps(found, budgets) + oversteps(convex.result, budgets),
        "max_relative_gap": gap,
        "max_kkt_residual": float(found.kkt.max()),
        "posynomial": {
            "problems": total,
            "seconds": convex.seconds,
            "problems_per_second": total / convex.seconds,
            "max_relative_gap": gap,
        },
    }
    # Certified problems: a smaller grid of all languages, away from the corners of the large one.
    few = grid(certified, languages)
    jitter = np.exp(rng.uniform(-0.1, 0.1, 2))
    few = few[0] * jitter[0], few[1] * jitter[1]
    proof = repeated(lambda: ask(fits["m3"], *few, certify=True))
    fast = ask(fits["m3"], *few)
    excess = np.log(fast.loss / proof.result.loss)
    result["certified"] = {
        "problems": proof.result.loss.size,
        "seconds": proof.seconds,
        "problems_per_second": proof.result.loss.size / proof.seconds,
        "max_relative_gap": float(np.expm1(proof.result.gap.max())),
        "fast_agrees_share": float(np.mean(excess <= CLOSE)),
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
        some = chosen[: max(8, peer_problems // {"slsqp": 1, "plain_optax": 1}.get(name, 10))]
        of = (convex.result if law == "m3_posynomial" else found).loss.ravel()[some]
        places = np.unravel_index(some, found.loss.shape)
        items = [
            (law, fits[law].theta[i], float(budgets[j]), float(sizes[t]), int(p))
            for p, i, j, t in zip(some, *places, strict=True)
        ]
        say(f"{name}: {len(items)} problems")
        if name == "plain_optax":
            row = plain_optax(items, np.log(of))
        else:
            assert pool is not None
            row = race(name, items, np.log(of), share, pool)
            ends = row.pop("ends")
            row["m3jax_max_excess"] = float(np.max(np.log(of) - ends))
        ours = result["posynomial"] if law == "m3_posynomial" else result
        row["ratio"] = ours["problems_per_second"] / row["problems_per_second"]
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=100_000)
    parser.add_argument("--languages", type=int, default=100)
    parser.add_argument("--certified", type=int, default=1000, help="problems to certify")
    parser.add_argument("--peer-problems", type=int, default=400, help="0 for no peers")
    parser.add_argument("--peers", default=",".join([*PEERS, "plain_optax"]))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    options["peers"] = [name for name in options["peers"].split(",") if name]
    unknown = set(options["peers"]) - {*PEERS, "plain_optax"}
    if unknown:
        parser.error(f"unknown peers {', '.join(sorted(unknown))}")
    result = study(**options, say=lambda text: print(text, file=sys.stderr))
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
