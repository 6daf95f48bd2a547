"""Objectives and constraints that are functions of the recipe: values, gradients, Hessians in u.

By NumPy where the functions are elementwise, which a law and most constraints are, and compiled
where they are not: a user's function with a loop in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...computing import KEPT, Elementwise, NotElementwise, jit_by_first
from ...recipe import Array, Recipe
from ._over_draws import Drawn
from ._recipe_problem import DIMENSIONS, RecipeProblem, recipe_of

_COMPILED = 64  # lanes in a compiled call
_POINTS = 50_000  # of lanes and draws evaluated together

Objective = Callable[[Any, Recipe], Array]  # (arguments, recipe) -> log loss or the like


class NonlinearProgram(NamedTuple):
    """What is solved, beside the limits of a `RecipeProblem`.

    Attributes:
        objective: (arguments, recipe) -> what is to be minimised, of draws the log loss of one.
        constraints: named in `LIMITS`, each g(arguments, recipe) <= 0.
        over_draws: what of the draws' log losses, and the level of a quantile; None without draws.
            With them "drawn" among the arguments are those that a draw has of its own, leaves
            (P, B, ...), and "best" (P, B) each draw's lowest log loss.
    """

    objective: Objective
    constraints: tuple[tuple[str, Objective], ...] = ()
    over_draws: tuple[str, float] | None = None


class Derivatives(NamedTuple):
    """Of F functions at points of L lanes; what was not asked for is None.

    Attributes:
        value: (F, L).
        gradient: in u, (F, d, L).
        hessian: in u, (F, d, d, L).
    """

    value: Any
    gradient: Any
    hessian: Any


class ProgramAt(NamedTuple):
    """A program's functions, the objective first, for the problems of L lanes.

    Attributes:
        program: the functions.
        regime: of the problems.
        given: what else they depend on: the problems' constants and the arguments; lanes last in
            the former and first in the latter.
    """

    program: NonlinearProgram
    regime: int
    given: tuple[tuple[np.ndarray, ...], Any]

    @classmethod
    def of(cls, program: NonlinearProgram, args: Any, problem: RecipeProblem) -> ProgramAt:
        """The functions for P problems; leaves of `args` have P first."""
        p = problem
        constants = p.log_tokens, p.log_fewest, p.in_part, p.tilt, p.first_share
        return cls(program, p.regime, (constants, args))

    def take(self, lanes: np.ndarray) -> ProgramAt:
        """The functions for some of the lanes."""
        return self._replace(given=jax.tree.map(lambda leaf: leaf[lanes], self.given))

    def __call__(self, u: np.ndarray, order: int = 0) -> Derivatives:
        """Values at u (d, L), and as many derivatives as `order` says."""
        if self.program.over_draws is not None:
            return self._over_draws(u, order)
        constants, args = self.given
        run = _elementwise(self.program, self.regime, order, *_shape_of(args))
        if run is None:
            return self._compiled(u, order)
        columns = jax.tree.map(lambda leaf: leaf if leaf.ndim == 1 else list(leaf.T), args)
        found = run(list(u), (constants, columns))
        d, lanes = u.shape

        def gathered(tree: Any, *shape: int) -> np.ndarray:
            leaves = [np.broadcast_to(leaf, lanes) for leaf in jax.tree.leaves(tree)]
            return np.stack(leaves).reshape(len(found[0]), *shape, lanes)

        return Derivatives(
            gathered(found[0]),
            gathered(found[1], d) if order else None,
            gathered(found[2], d, d) if order > 1 else None,
        )

    def _over_draws(self, u: np.ndarray, order: int) -> Derivatives:
        assert self.program.over_draws is not None
        constants, args = self.given
        lanes, count = args["best"].shape
        own = {k: v for k, v in args.items() if k not in ("drawn", "best")}
        each = NonlinearProgram(self.program.objective)
        parts, step = [], max(1, _POINTS // count)
        for first in range(0, lanes, step):
            some = np.arange(first, min(first + step, lanes))
            repeated = np.repeat(some, count)
            shared = jax.tree.map(lambda leaf, at=repeated: leaf[at], (constants, own))
            drawn = jax.tree.map(
                lambda leaf, at=some: leaf[at].reshape(len(at) * count, *leaf.shape[2:]),
                args["drawn"],
            )
            at = self._replace(program=each, given=(shared[0], shared[1] | {"drawn": drawn}))
            # One function less to trace: values alone are wanted a few times only.
            found = at(u[:, repeated], max(order, 1))
            by_draw = Derivatives(
                *(
                    None
                    if leaf is None
                    else np.moveaxis(leaf[0].reshape(*leaf.shape[1:-1], len(some), count), -1, 0)
                    for leaf in found
                )
            )
            best = args["best"][some].T
            parts.append(Drawn(*by_draw).combined(*self.program.over_draws, best))
        objective = Derivatives(
            *(
                None if leaves[0] is None else np.concatenate(leaves, axis=-1)[None]
                for leaves in zip(*parts, strict=True)
            )
        )
        if not self.program.constraints:
            return objective
        (_, first_of), *others = self.program.constraints
        alone = NonlinearProgram(first_of, tuple(others))
        limits = self._replace(program=alone, given=(constants, own))(u, order)
        return Derivatives(
            *(
                None if limit is None else np.concatenate([leaf, limit])
                for leaf, limit in zip(objective, limits, strict=True)
            )
        )

    def _compiled(self, u: np.ndarray, order: int) -> Derivatives:
        lanes, parts = u.shape[1], []
        for first in range(0, lanes, _COMPILED):
            # The last lane is repeated to fill a call: one shape is compiled.
            some = np.minimum(np.arange(first, first + _COMPILED), lanes - 1)
            given = jax.tree.map(lambda leaf, some=some: leaf[some], self.given)
            parts.append(_of_lanes(self.program, u.T[some], given, regime=self.regime, order=order))
        leaves = (np.concatenate(leaf)[:lanes] for leaf in zip(*parts, strict=True))
        value, *further = (np.moveaxis(leaf, 0, -1) for leaf in leaves)
        return Derivatives(value, *further, *[None] * (2 - len(further)))


def _derivatives(
    program: NonlinearProgram, regime: int, order: int, u: Sequence[Array], given: Any
) -> list[Any]:
    """`Derivatives` of one lane, u being d scalars: lists by function, then by entries of u."""
    constants, args = given
    values, gradients, hessians = [], [], []
    for function in (program.objective, *(g for _, g in program.constraints)):

        def value(u: Sequence[Array], function: Objective = function) -> Array:
            return jnp.asarray(function(args, recipe_of(u, regime, *constants)))

        if order == 0:
            values.append(value(u))
            continue
        slope = jax.value_and_grad(value)
        at, gradient = slope(list(u))
        values.append(at)
        gradients.append(gradient)
        for j in range(len(u) if order > 1 else 0):

            def along(x: Array, j: int = j, slope: Any = slope) -> list[Array]:
                return slope([*u[:j], x, *u[j + 1 :]])[1]

            hessians.append(jax.jvp(along, (u[j],), (jnp.ones_like(u[j]),))[1])
    return [values, gradients, hessians][: order + 1]


def _shape_of(args: Any) -> tuple[Any, tuple[int, ...]]:
    """Structure of arguments, and how many numbers each leaf holds; −1 where it is no vector."""
    leaves, structure = jax.tree.flatten(args)
    width = {1: lambda leaf: 0, 2: lambda leaf: leaf.shape[1]}
    return structure, tuple(width.get(leaf.ndim, lambda leaf: -1)(leaf) for leaf in leaves)


@lru_cache(maxsize=3 * KEPT)
def _elementwise(
    program: NonlinearProgram, regime: int, order: int, structure: Any, widths: Sequence[int]
) -> Elementwise | None:
    """The functions by NumPy, None where it cannot run them."""
    if -1 in widths:
        return None
    leaves = [[0.0] * width if width else 0.0 for width in widths]
    like = [0.0] * DIMENSIONS[regime], ((0.0,) * 5, jax.tree.unflatten(structure, leaves))
    try:
        return Elementwise(partial(_derivatives, program, regime, order), *like)
    except NotElementwise:
        return None


@partial(jit_by_first, static_argnames=("regime", "order"))
def _of_lanes(
    program: NonlinearProgram, u: Array, given: Any, *, regime: int, order: int
) -> list[Array]:
    """Values and derivatives, lanes first everywhere: (L, F), (L, F, d), (L, F, d, d)."""

    def lane(u: Array, given: Any) -> list[Array]:
        d = len(u)
        shapes = (-1,), (-1, d), (-1, d, d)
        found = _derivatives(program, regime, order, list(u), given)
        return [
            jnp.stack(jax.tree.leaves(tree)).reshape(shape)
            for tree, shape in zip(found, shapes, strict=False)
        ]

    return jax.vmap(lane)(u, given)
