"""Peers that fit all languages in one compiled call, as m3jax does: `vmap` of a plain solver.

Both get m3jax's law, variables, bounds and start ranges; see `work.PeerProblem`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve

from benchmarks.support.work import PeerProblem
from m3jax.laws import LogSpaceLaw
from m3jax.recipe import Array, Recipe


def _huber(residual: Array, delta: Array) -> Array:
    """`residuals.huber`, traced."""
    clipped = jnp.minimum(jnp.abs(residual), delta)
    return clipped * (jnp.abs(residual) - 0.5 * clipped)


@partial(jax.jit, static_argnames="law")
def plain_vmap(
    law: LogSpaceLaw, starts: Array, languages: tuple[Array, ...], delta: Array, iterations: Array
) -> Array:
    """Levenberg–Marquardt as one writes it down: best x (L, p) from `starts` (L, S, p)."""

    def fit(
        start: Array, recipe: Recipe, log_loss: Array, centre: Array, lower: Array, upper: Array
    ) -> tuple[Array, Array]:
        def residual(x: Array) -> Array:
            return law.log_loss_theta(centre @ x, recipe) - log_loss

        def objective(x: Array) -> Array:
            return jnp.sum(_huber(residual(x), delta))

        def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, value, damping = state
            e, jacobian = residual(x), jax.jacfwd(residual)(x)
            weight = delta / jnp.maximum(jnp.abs(e), delta)  # the Huber loss as reweighted squares
            hessian = (jacobian.T * weight) @ jacobian
            diagonal = jnp.diagonal(hessian) + 1e-12 * jnp.max(jnp.diagonal(hessian))
            factor = cho_factor(hessian + jnp.diag(damping * diagonal))
            trial = jnp.clip(x - cho_solve(factor, jacobian.T @ (weight * e)), lower, upper)
            trial_value = objective(trial)
            better = trial_value < value
            damping = jnp.where(better, 0.3 * damping, 4.0 * damping)
            return jnp.where(better, trial, x), jnp.where(better, trial_value, value), damping

        x, value, _ = jax.lax.fori_loop(0, iterations, step, (start, objective(start), 1e-2))
        return x, jnp.where(jnp.isnan(value), jnp.inf, value)

    over_starts = jax.vmap(fit, in_axes=(0, None, None, None, None, None))
    return _lowest(*jax.vmap(over_starts)(starts, *languages))


@partial(jax.jit, static_argnames=("law", "iterations"))
def optimistix_lm(
    law: LogSpaceLaw, starts: Array, languages: tuple[Array, ...], delta: Array, iterations: int
) -> Array:
    """optimistix's Levenberg–Marquardt on sign(e)·√(2·Huber(e)), bounds by a sine.

    Half the time that its default QR takes goes by with the normal equations instead; clipping at
    the bounds instead of the sine brings half as many starts home.
    """
    import lineax
    import optimistix

    solver: Any = optimistix.LevenbergMarquardt(
        rtol=1e-4, atol=1e-4, linear_solver=lineax.Normal(lineax.Cholesky())
    )

    def fit(
        start: Array, recipe: Recipe, log_loss: Array, centre: Array, lower: Array, upper: Array
    ) -> tuple[Array, Array]:
        middle, half = (lower + upper) / 2, (upper - lower) / 2

        def residual(u: Array) -> Array:
            return law.log_loss_theta(centre @ (middle + half * jnp.sin(u)), recipe) - log_loss

        def robust(u: Array, _: None) -> Array:
            e = residual(u) / delta
            beyond = jnp.abs(e) > 1.0
            root = jnp.sqrt(jnp.where(beyond, 2 * jnp.abs(e) - 1.0, 1.0))
            return jnp.where(beyond, jnp.sign(e) * root, e)

        solution: Any = optimistix.least_squares(
            robust, solver, jnp.arcsin((start - middle) / half), max_steps=iterations, throw=False
        )
        value = jnp.sum(_huber(residual(solution.value), delta))
        return middle + half * jnp.sin(solution.value), jnp.where(jnp.isnan(value), jnp.inf, value)

    over_starts = jax.vmap(fit, in_axes=(0, None, None, None, None, None))
    return _lowest(*jax.vmap(over_starts)(starts, *languages))


def _lowest(x: Array, value: Array) -> Array:
    """The best (L, p) of x (L, S, p) by value (L, S)."""
    return jnp.take_along_axis(x, jnp.argmin(value, axis=1)[:, None, None], axis=1)[:, 0]


@dataclasses.dataclass(frozen=True)
class BatchPeer:
    """A peer that fits a batch.

    Attributes:
        fit: law, starts (L, S, p), languages, delta, iterations -> best x (L, p).
        efforts: numbers of iterations, the most that it may take, all tried.
        package: what has to be installed; import and pip know it by one name.
    """

    fit: Callable[..., Array]
    efforts: tuple[int, ...]
    package: str = "jax"


BATCH_PEERS = {
    "plain_vmap": BatchPeer(plain_vmap, (20, 30, 40, 60, 80, 120)),
    "optimistix": BatchPeer(optimistix_lm, (60, 120, 240), "optimistix"),
}


def fit_batch(peer: str, problem: PeerProblem, starts: np.ndarray, iterations: int) -> np.ndarray:
    """Best x (L, p) of all languages from `starts` (L, S, p); smaller calls are no faster."""
    languages = (
        problem.recipe,
        problem.log_loss,
        problem.centre,
        problem.lower,
        problem.upper,
    )
    with jax.enable_x64(True):
        fit = BATCH_PEERS[peer].fit
        return np.asarray(fit(problem.law, starts, languages, problem.delta, iterations))
