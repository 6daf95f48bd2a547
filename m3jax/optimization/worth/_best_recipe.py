"""`best_recipe`: loss and recipe of one question, differentiable in everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import M3Error, suggestion
from ...laws import Law, get_law
from ...recipe import TWO_STAGE, Array, Recipe
from ...variables import DECISION_VARIABLES
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
_ANYWHERE: Mapping[str, Any] = {  # what is not asked for
    "n_params": (1e3, 1e15),
    "epochs": (1.0, 1e3),
    "target_ratio": (1e-4, 1.0),
    "final_ratio": (1e-4, 1.0),
    "stage_fraction": (0.05, 1.0),
    "first_share": 0.0,
    "min_first_ratio": 0.0,
    "max_total_tokens": np.inf,
    "max_source_tokens": np.inf,
    "inference_tokens": 0.0,
    "max_flops": np.inf,
}


class BestRecipe(NamedTuple):
    """The best answer to one question: loss, nats per token, (), and recipe, leaves ()."""

    loss: Array
    recipe: Recipe


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
    law: Law | str,
    coefficients: Mapping[str, Array] | Array,
    question: Question | None = None,
    *,
    regimes: Sequence[int] = (0, 1, 2),
    **asked: Any,
) -> BestRecipe:
    """Lowest loss (nats per token) and its recipe, for one question: differentiable in everything.

    `best_recipe("m3", coefficients, compute=1e20, target_tokens=1e8).loss`. `jit`, `jax.grad` and
    `jax.jacfwd` work, derivatives are those of the implicit function theorem for the limits that
    are active (first order only). It is solved in 64 bits, also outside `jax.enable_x64`: there
    only the answer and its derivatives are rounded to 32.

    Args:
        law: one made of terms (`m3`, `m3_posynomial`, `chinchilla`), or its name.
        coefficients: by name, each (), or as theta (p,).
        question: a ready-made one, leaves () or (4,), in place of `asked`.
        regimes: those on offer, indices into `recipe.REGIMES`.
        **asked: `compute` (FLOP) and `target_tokens`, and limits as `optimize` has them, each a
            number or a pair: n_params, epochs, target_ratio, final_ratio, stage_fraction,
            first_share, min_first_ratio, max_total_tokens, max_source_tokens, inference_tokens; and
            max_flops, of training alone. What is left out may be anything sensible.

    Everything but the law may be traced. Where no regime has an allowed recipe the loss is
    infinite. Raises `M3Error` for laws not made of terms, and on names it does not know or misses.
    """
    law = get_law(law)
    if not has_terms(law):
        raise M3Error(f"best_recipe: law {law.name} is not made of terms, as m3 is")
    if question is None:
        question = _question(asked)
    elif asked:
        raise M3Error(f"best_recipe: expected either a question or {', '.join(asked)}")
    # Told here, where constants are not traced yet.
    rows = _possible_limits(question, TWO_STAGE)
    return BestRecipe(*_solver(law, rows, tuple(regimes))(_theta(law, coefficients), question))


def _question(asked: Mapping[str, Any]) -> Question:
    """The question that is asked in the words of `optimize`."""
    needed = ("compute", "target_tokens")
    for name in asked:
        if name not in _ANYWHERE and name not in needed:
            hint = suggestion(name, [*needed, *_ANYWHERE])
            raise M3Error(f"best_recipe: unknown option {name!r}; {hint}")
    for name in needed:
        if name not in asked:
            raise M3Error(f"best_recipe: {name}: expected a positive finite number, got nothing")
    values = {**_ANYWHERE, **asked}
    for name, default in _ANYWHERE.items():
        is_pair = hasattr(values[name], "__len__") and len(values[name]) == 2
        if isinstance(default, tuple) and not is_pair:
            raise M3Error(f"best_recipe: {name}: expected a pair (low, high)")
    ranges = [values[name] for name in DECISION_VARIABLES]
    low, high = (jnp.stack([jnp.asarray(r[side], float) for r in ranges]) for side in (0, 1))
    return Question(
        compute=values["compute"],
        target_tokens=values["target_tokens"],
        low=low,
        high=high,
        stage_low=values["stage_fraction"][0],
        stage_high=values["stage_fraction"][1],
        first_share=values["first_share"],
        first_ratio=values["min_first_ratio"],
        total_tokens=values["max_total_tokens"],
        source_tokens=values["max_source_tokens"],
        inference_tokens=values["inference_tokens"],
        gpu_flops=values["max_flops"],
    )


def _theta(law: Law, coefficients: Mapping[str, Array] | Array) -> Array:
    """Coefficients as theta (p,). Logarithms of plain numbers are taken in 64 bits."""
    if not isinstance(coefficients, Mapping):
        return coefficients
    law.to_theta(coefficients)  # raises on wrong names
    parts = [
        (np if isinstance(value, int | float) else jnp).log(value) if c.log else value
        for c in law.coefficients
        for value in (coefficients[c.name],)
    ]
    return jnp.stack([jnp.asarray(part, float) for part in parts])


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
