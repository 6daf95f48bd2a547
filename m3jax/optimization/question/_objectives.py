"""What the general solver minimises, and under which functions g(recipe) <= 0.

Functions are cached by law and constraint, so that compiled code is found again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax.numpy as jnp

from ...computing import KEPT
from ...fitting import bend
from ...laws import Law
from ...options import Limits
from ...recipe import Array, Recipe
from ..solvers import NonlinearProgram, Objective, objective_of


@lru_cache(maxsize=KEPT)
def _under_draw(law: Law) -> Objective:
    """Log loss under one draw: "drawn" are its coefficients, bends and the edges they begin at."""
    log_loss = objective_of(law)

    def value(args: Any, recipe: Recipe) -> Array:
        drawn = args["drawn"]
        added = bend(recipe, drawn["low"], drawn["high"], drawn["bends"])
        return log_loss({"theta": drawn["theta"]}, recipe) + added

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
    """An objective over the draws, under the same constraints.

    "mean" is log mean_b L_b, L_b being the loss under draw b with its bends beyond the runs (see
    `Spread`), "mean_log" mean_b log L_b, "quantile" the quantile of log L_b at `level`, and
    "regret" the largest L_b − best_b.
    """
    return NonlinearProgram(_under_draw(law), _constraints(limits), (objective, level))
