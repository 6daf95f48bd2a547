"""Objectives over bootstrap draws, and constraints given as functions: tasks of the general solver.

Task functions are cached, so that compiled code is found again.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error
from ...fitting import Fits
from ...laws import Law
from ...recipe import Array, Recipe
from ..solvers import Objective, Task, objective_of
from ._ask import Asked
from ._limits import Constraint

OBJECTIVES = ("point", "mean", "quantile", "regret")
_SHARP = 1e-4  # nats within which the largest of several regrets is smoothed


@cache
def _over_draws(law: Law, kind: str, level: float) -> Objective:
    def objective(args: Any, recipe: Recipe) -> Array:
        logs = jax.vmap(lambda theta: law.log_loss_theta(theta, recipe))(args["draws"])
        if kind == "mean":
            return jax.nn.logsumexp(logs) - jnp.log(logs.shape[0])
        if kind == "quantile":
            return jnp.quantile(logs, level)
        given_up = jnp.exp(logs) - jnp.exp(args["best"])
        return _SHARP * jax.nn.logsumexp(given_up / _SHARP)

    return objective


@cache
def _given(constraint: Constraint) -> Objective:
    return lambda args, recipe: jnp.asarray(constraint(recipe))


@cache
def _source_loss(law: Law) -> Objective:
    return lambda args, recipe: law.log_loss_theta(args["source"], recipe) - args["most"]


def user_task(
    fits: Fits, asked: Asked, lanes: np.ndarray | None = None
) -> tuple[Task | None, dict[str, np.ndarray]]:
    """The point objective under constraints given as functions; None where there are none.

    `lanes` are the questions that are asked, all by default.
    """
    limits = asked.limits
    constraints = [("constraint", _given(g)) for g in limits.constraints]
    args: dict[str, np.ndarray] = {}
    if limits.source_fits is not None:
        source = limits.source_fits
        missing = [name for name in asked.names if name not in source.languages]
        if missing:
            raise M3Error(f"source_fits: no fit for language {missing[0]!r}")
        at = np.array([source.index(name) for name in asked.names])[asked.language]
        theta = source.theta[at]
        most = np.full(len(theta), np.log(limits.max_source_loss or np.nan))
        args = {"source": theta, "most": most}
        constraints.append(("source_loss", _source_loss(source.law)))
    if lanes is not None:
        args = {name: leaf[lanes] for name, leaf in args.items()}
    if not constraints:
        return None, args
    return Task(objective_of(fits.law), tuple(constraints)), args


def robust_task(
    fits: Fits, asked: Asked, kind: str, level: float
) -> tuple[Task, dict[str, np.ndarray]]:
    """An objective over the draws, under the same constraints."""
    task, args = user_task(fits, asked)
    constraints = () if task is None else task.constraints
    return Task(_over_draws(fits.law, kind, level), constraints), args
