"""Peers that find recipes: SciPy's constrained solvers, CVXPY's geometric programs, optax's Adam.

SciPy and CVXPY take one problem at a time, with the law's exact gradient in NumPy; optax takes all
problems in one compiled call. All search each of the three regimes under the same limits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import jax
import numpy as np

import m3jax
from benchmarks.support.measure import cores, environment, repeated
from benchmarks.support.recipe_terms import Face, Terms, solve_by_scipy, starts
from benchmarks.support.recipes import faces

AS_GOOD = 1e-6  # excess of the log loss over the best known that counts as found
START_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16)  # for each regime


class Problem(NamedTuple):
    """One recipe problem: law and coefficients (p,), budget in FLOP, corpus, seed of the starts."""

    law: str
    theta: np.ndarray
    compute: float
    target_tokens: float
    seed: int

    def faces(self) -> list[Face]:
        """Limits of the three regimes."""
        return list(faces(self.compute, self.target_tokens).values())

    def terms(self) -> Terms:
        """The log loss in NumPy."""
        return Terms.of(m3jax.get_law(self.law), self.theta, self.target_tokens)


# problem, starts for each regime -> best log loss of so many starts, (starts,), and seconds
RecipePeer = Callable[[Problem, int], tuple[np.ndarray, float]]


def _scipy(method: str, problem: Problem, count: int) -> tuple[np.ndarray, float]:
    rng = np.random.default_rng(problem.seed)
    regimes = [(face, starts(face, count, rng)) for face in problem.faces()]
    started = time.perf_counter()
    losses = solve_by_scipy(method, problem.terms(), regimes)
    seconds = time.perf_counter() - started
    return np.minimum.accumulate(losses, axis=1).min(axis=0), seconds


def slsqp(problem: Problem, count: int) -> tuple[np.ndarray, float]:
    """SciPy's sequential least-squares programming from `count` starts."""
    return _scipy("SLSQP", problem, count)


def trust_constr(problem: Problem, count: int) -> tuple[np.ndarray, float]:
    """SciPy's trust-region interior-point method from `count` starts."""
    return _scipy("trust-constr", problem, count)


def cvxpy_dgp(problem: Problem, count: int) -> tuple[np.ndarray, float]:
    """The geometric programs of the three regimes, by CVXPY and Clarabel; one start is enough."""
    import cvxpy as cp

    terms = problem.terms()
    started = time.perf_counter()
    best = np.inf
    for face in problem.faces():
        x = cp.Variable(len(face.low), pos=True)
        slope = terms.slope @ face.plane

        def monomial(powers: np.ndarray, constant: float, x: Any = x) -> Any:
            product = np.exp(constant)
            for i, power in enumerate(powers):
                if power:
                    product = product * x[i] ** float(power)
            return product

        loss = sum(monomial(powers, c) for powers, c in zip(slope, terms.constant, strict=True))
        limits = [
            monomial(row, -right) <= 1 for row, right in zip(face.matrix, face.right, strict=True)
        ]
        limits += [x >= np.exp(face.low), x <= np.exp(face.high)]
        program = cp.Problem(cp.Minimize(loss), limits)
        program.solve(
            gp=True, solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
        )
        if program.status in ("optimal", "optimal_inaccurate"):
            best = min(best, float(np.log(program.value)))
    return np.full(count, best), time.perf_counter() - started


RECIPE_PEERS: dict[str, RecipePeer] = {
    "slsqp": slsqp,
    "trust_constr": trust_constr,
    "cvxpy_dgp": cvxpy_dgp,
}


def _import_solvers() -> None:
    import scipy.optimize  # noqa: F401


def worker_pool() -> ProcessPoolExecutor:
    """Processes on all cores that have imported SciPy, with BLAS on one thread each."""
    with environment({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}):
        pool = ProcessPoolExecutor(cores(), get_context("spawn"), initializer=_import_solvers)
        list(pool.map(abs, range(4 * cores())))
    return pool


def race(
    name: str,
    problems: Sequence[Problem],
    best: np.ndarray,
    share: float,
    pool: ProcessPoolExecutor,
) -> tuple[dict[str, Any], np.ndarray]:
    """A peer on all cores with the fewest starts that find the best often enough.

    Often enough is in `share` of the problems; `best` are the log losses known, (P,).
    Returns its figures and the log losses (P,) that it found.
    """
    counts = (1,) if name == "cvxpy_dgp" else START_COUNTS
    row: dict[str, Any] = {"available": True, "problems": len(problems), "tried": []}
    for count in counts:
        began = time.perf_counter()
        # Whole batches, so that handing them out costs the peer nothing.
        outcomes = list(
            pool.map(
                RECIPE_PEERS[name],
                problems,
                [count] * len(problems),
                chunksize=-(-len(problems) // (4 * cores())),
            )
        )
        seconds = time.perf_counter() - began
        ends = np.array([losses[-1] for losses, _ in outcomes])
        row |= {
            "starts": count,
            "success": float(np.mean(ends <= best + AS_GOOD)),
            "median_excess": float(np.median(np.maximum(ends - best, 0.0))),
            "seconds": seconds,
            "problems_per_second": len(problems) / seconds,
            "reached": bool(np.mean(ends <= best + AS_GOOD) >= share),
        }
        row["tried"].append({key: row[key] for key in ("starts", "success", "problems_per_second")})
        if row["reached"]:
            break
    return row, ends


def plain_optax(problems: Sequence[Problem], best: np.ndarray) -> dict[str, Any]:
    """What one would write first: Adam on an augmented Lagrangian from eight starts, vmapped."""
    import jax.numpy as jnp
    import optax

    law = m3jax.get_law(problems[0].law)
    count, rounds, steps, penalty = 8, 6, 100, 10.0
    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, rounds * steps, 0.001))

    def solver(face: Face) -> Any:
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

            def step(carry: Any, _: Any) -> Any:
                x, m, state = carry
                updates, state = optimiser.update(jax.grad(lagrangian)(x, m), state)
                return (jnp.clip(optax.apply_updates(x, updates), low, high), m, state), None

            def update_multipliers(carry: Any, _: Any) -> Any:
                (x, m, state), _ = jax.lax.scan(step, carry, None, length=steps)
                return (x, jnp.maximum(m + penalty * (matrix @ x - right), 0.0), state), None

            begin = (x, jnp.zeros(len(right)), optimiser.init(x))
            (x, _, _), _ = jax.lax.scan(update_multipliers, begin, None, length=rounds)
            is_allowed = jnp.all(matrix @ x <= right + 1e-4)
            return jnp.where(is_allowed, loss(x), jnp.inf)

        return jax.jit(jax.vmap(jax.vmap(run, (None, None, None, 0))))

    by_problem = [problem.faces() for problem in problems]

    def solve_all() -> np.ndarray:
        losses = []
        for regime, solve in enumerate(solvers):
            right = np.stack([regimes[regime].right for regimes in by_problem])
            losses.append(np.asarray(solve(theta, tokens, right, points[regime])).min(axis=1))
        return np.min(losses, axis=0)

    with jax.enable_x64(True):
        solvers = [solver(face) for face in by_problem[0]]
        theta = np.stack([problem.theta for problem in problems])
        tokens = np.array([problem.target_tokens for problem in problems])
        rng = np.random.default_rng(0)
        points = [
            np.stack([starts(regimes[regime], count, rng) for regimes in by_problem])
            for regime in range(3)
        ]
        timed = repeated(solve_all)
    return {
        "available": True,
        "problems": len(problems),
        "starts": count,
        "success": float(np.mean(timed.result <= best + AS_GOOD)),
        "within_1e-4": float(np.mean(timed.result <= best + 1e-4)),
        "median_excess": float(np.median(np.maximum(timed.result - best, 0.0))),
        "seconds": timed.seconds,
        "problems_per_second": len(problems) / timed.seconds,
        "reached": False,
    }
