"""`best_recipe`: loss and recipe of one question, differentiable in everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error
from ...laws import Law
from ...recipe import TWO_STAGE, Array, Recipe
from ..solvers import (
    NAMED_LIMITS,
    PrimalDualIterate,
    Question,
    RecipeProblem,
    build_problem,
    can_bind,
    has_terms,
    log_sum_exp,
    screen_starts,
    solve_interior_point,
)
from ._implicit import differentiable_optimum
from ._precision import differentiable_in_double

_STEPS = 80  # of the path that is followed to the optimum


def _possible_limits(question: Question, regime: int) -> tuple[str, ...]:
    """The limits that may be there, as far as can be told from values that are traced."""
    absent = {
        name
        for name, leaf, none in (
            ("gpu_hours", question.gpu_flops, np.inf),
            ("total_tokens", question.total_tokens, np.inf),
            ("source_tokens", question.source_tokens, np.inf),
            ("lowest first_ratio", question.first_ratio, 0.0),
        )
        if not isinstance(leaf, jax.core.Tracer) and np.all(np.asarray(leaf) == none)
    }
    return tuple(name for name in NAMED_LIMITS if name not in absent and can_bind(name, regime))


def best_recipe(
    law: Law, theta: Array, question: Question, *, regimes: Sequence[int] = (0, 1, 2)
) -> tuple[Array, Recipe]:
    """Lowest loss (nats per token) and its recipe, for one question: differentiable in everything.

    For laws made of terms (`m3`, `m3_posynomial`, `chinchilla`). `theta` (p,) and the leaves of
    `question`, () or (4,), may be traced: `jit`, `jax.grad` and `jax.jacfwd` work, derivatives are
    those of the implicit function theorem for the limits that are active (first order only). Where
    no regime has an allowed recipe the loss is infinite. It is solved in 64 bits, also outside
    `jax.enable_x64`: there only the answer and its derivatives are rounded to 32.

    Raises `M3Error` for laws not made of terms.
    """
    if not has_terms(law):
        raise M3Error(f"best_recipe: law {law.name} is not made of terms, as m3 is")
    # Told here, where constants are not traced yet.
    rows = _possible_limits(question, TWO_STAGE)
    return _solver(law, rows, tuple(regimes))(theta, question)


@lru_cache(maxsize=64)
def _solver(law: Law, rows: tuple[str, ...], regimes: tuple[int, ...]) -> Callable[..., Any]:
    """(theta, question) -> loss and recipe, compiled once."""
    return differentiable_in_double(partial(_solved, law, rows, regimes))


def _solved(
    law: Law, rows: tuple[str, ...], regimes: Sequence[int], theta: Array, question: Question
) -> tuple[Array, Recipe]:
    """`best_recipe` with the limits that may be there, in the precision of its arguments."""
    built = [
        build_problem(question, regime, jnp, rows, lift=True, in_part=in_part)
        for regime in regimes
        for in_part in (False, True)
    ]
    problems, possible = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=-1), *built)
    held_theta, lanes = jax.lax.stop_gradient((theta, problems))
    count = len(built)
    terms, states, _ = screen_starts(law, jnp.repeat(held_theta[:, None], count, axis=1), lanes)
    # All starts as lanes of one path.
    state = jax.tree.map(lambda *each: jnp.concatenate(each, axis=-1), *states)
    terms, lanes = jax.tree.map(lambda leaf: jnp.tile(leaf, len(states)), (terms, lanes))
    end = solve_interior_point(terms, lanes, state, _STEPS)
    value = log_sum_exp(terms, end.u)
    counts = jnp.tile(possible, len(states)) & jnp.isfinite(value)
    reached = jnp.where(counts, value, jnp.inf)
    # The first of the lowest, written so that `differentiable_in_double` can have it.
    lowest, (problem, u, multipliers) = reached[0], _lane(0, problems, end)
    for i in range(1, len(reached)):
        less = reached[i] < lowest
        lowest, problem, u, multipliers = jax.tree.map(
            lambda new, old, less=less: jnp.where(less, new, old),
            (reached[i], *_lane(i, problems, end)),
            (lowest, problem, u, multipliers),
        )
    u, _ = differentiable_optimum(law, theta, problem, u, multipliers)
    recipe = problem.recipe(u)
    loss = jnp.exp(law.log_loss_theta(theta, recipe))
    return jnp.where(jnp.isfinite(lowest), loss, jnp.inf), recipe


def _lane(
    i: int, problems: RecipeProblem, end: PrimalDualIterate
) -> tuple[RecipeProblem, Array, Array]:
    """Problem, u (d,) and multipliers (m,) of one lane; those of `problems` come round again."""
    problem = jax.tree.map(lambda leaf: leaf[..., i % leaf.shape[-1]], problems)
    return problem, jnp.stack(end.u)[:, i], jnp.stack(end.multipliers)[:, i]
