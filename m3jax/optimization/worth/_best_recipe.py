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
    Question,
    build_problem,
    can_bind,
    has_terms,
    log_sum_exp,
    screen_starts,
    solve_interior_point,
)
from ._implicit import Solved, first_order
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
    return differentiable_in_double(partial(_answered, law, rows, regimes))


def _answered(
    law: Law, rows: tuple[str, ...], regimes: Sequence[int], theta: Array, question: Question
) -> tuple[tuple[Array, Recipe], Any]:
    """`best_recipe` with the limits that may be there, and its Jacobian by theta and question."""
    found, solved = _solved(law, rows, regimes, theta, question)
    answer, jacobian = first_order(law, rows, theta, question, solved)
    return (jnp.where(found, answer.loss, jnp.inf), answer.recipe), jacobian


def _solved(
    law: Law, rows: tuple[str, ...], regimes: Sequence[int], theta: Array, question: Question
) -> tuple[Array, Solved]:
    """Whether there is a recipe, and where the best is: all faces and starts as lanes."""
    regime = np.repeat(regimes, 2)
    in_part = np.tile([False, True], len(regimes))
    count = len(regime)

    def lanes(leaf: Array) -> Array:
        return jnp.repeat(leaf[..., None], count, axis=-1)

    theta, question = jax.tree.map(lanes, (theta, question))
    problem, possible = build_problem(question, regime, jnp, rows, lift=True, in_part=in_part)
    terms, states, _ = screen_starts(law, theta, problem)
    starts = len(states)
    state = jax.tree.map(lambda *each: jnp.concatenate(each, axis=-1), *states)
    terms, problem = jax.tree.map(lambda leaf: jnp.tile(leaf, starts), (terms, problem))
    end = solve_interior_point(terms, problem, state, _STEPS)
    value = log_sum_exp(terms, end.u)
    counts = jnp.tile(possible, starts) & jnp.isfinite(value)
    reached = jnp.where(counts, value, jnp.inf)
    ends = Solved(
        jnp.asarray(np.tile(regime, starts)),
        jnp.asarray(np.tile(in_part, starts)),
        jnp.stack(problem.z(end.u)),
        jnp.stack(end.multipliers),
    )
    # The first of the lowest, written so that `differentiable_in_double` can have it.
    best = jax.tree.map(lambda leaf: leaf[..., 0], (reached, ends))
    for i in range(1, starts * count):
        new = jax.tree.map(lambda leaf, i=i: leaf[..., i], (reached, ends))
        less = new[0] < best[0]
        best = jax.tree.map(lambda n, o, less=less: jnp.where(less, n, o), new, best)
    lowest, solved = best
    return jnp.isfinite(lowest), solved
