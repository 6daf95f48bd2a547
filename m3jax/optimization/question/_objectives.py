"""What the general solver minimises, and under which functions g(recipe) <= 0.

Functions are cached by law and constraint, so that compiled code is found again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from ...computing import KEPT
from ...fitting import beyond
from ...laws import Law
from ...options import Limits
from ...recipe import Array, Recipe
from ..solvers import NonlinearProgram, Objective, objective_of

_SMOOTHING = 1e-4  # nats within which the largest of several regrets is smoothed


@lru_cache(maxsize=KEPT)
def _over_draws(law: Law, objective: str, level: float) -> Objective:
    """An objective over draws: "draws" (B, p), their "bends" and "edges", "best" (B,) log losses.

    L_b is the loss under draw b, bends beyond the runs included, see `Spread`. "mean" is
    log mean_b L_b, "quantile" the quantile of log L_b at `level`, and "regret" the largest
    L_b − best_b, smoothed: s·log Σ_b exp((L_b − best_b)/s), with s 1e-4 nats.
    """

    def value(args: Any, recipe: Recipe) -> Array:
        logs = jax.vmap(lambda theta: law.log_loss_theta(theta, recipe))(args["draws"])
        logs = logs + args["bends"] @ beyond(recipe, args["edges"])
        if objective == "mean":
            return jax.nn.logsumexp(logs) - jnp.log(logs.shape[0])
        if objective == "quantile":
            return jnp.quantile(logs, level)
        regrets = jnp.exp(logs) - jnp.exp(args["best"])
        return _SMOOTHING * jax.nn.logsumexp(regrets / _SMOOTHING)

    return value


@lru_cache(maxsize=KEPT)
def _user_constraint(constraint: Callable[[Recipe], Array]) -> Objective:
    return lambda args, recipe: jnp.asarray(constraint(recipe))


@lru_cache(maxsize=KEPT)
def _source_loss(law: Law) -> Objective:
    """Log loss on source text less its cap: arguments are "source", q numbers, and "most"."""
    log_loss = objective_of(law)
    return lambda args, recipe: log_loss({"theta": args["source"]}, recipe) - args["most"]


def _constraints(limits: Limits) -> tuple[tuple[str, Objective], ...]:
    constraints = [("constraint", _user_constraint(g)) for g in limits.constraints]
    if limits.source_fits is not None:
        constraints.append(("source_loss", _source_loss(limits.source_fits.law)))
    return tuple(constraints)


def point_program(law: Law, limits: Limits) -> NonlinearProgram | None:
    """The loss under constraints given as functions; None where there are none."""
    constraints = _constraints(limits)
    return NonlinearProgram(objective_of(law), constraints) if constraints else None


def robust_program(law: Law, limits: Limits, objective: str, level: float) -> NonlinearProgram:
    """An objective over the draws, under the same constraints."""
    return NonlinearProgram(_over_draws(law, objective, level), _constraints(limits))
