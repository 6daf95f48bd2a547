"""The recipe problem of one regime in log-variables, many problems side by side.

A regime is a face of the space of recipes: u = (n, k) monolingual, (n, k, r) single-stage,
(n, k, r, v) two-stage, where log r_f is v + tilt·r. Each has two faces more: either all text at
hand is read, in e^k epochs, or a part of it, as few times as is allowed. Both times e^k is how many
target tokens are seen for each at hand, so that all limits are the same on both.

Problems are arrays with the batch in the last axis, so that all arithmetic is elementwise; the same
functions take one problem without that axis.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from ...computing import array_namespace
from ...recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE, Array, Recipe
from ._limits import FAR, HELD_WIDTH, LIMIT_INDEX, LINEAR_LIMITS

DIMENSIONS = {MONOLINGUAL: 2, SINGLE_STAGE: 3, TWO_STAGE: 4}


def text_as_read(
    log_tokens: Array, log_fewest: Array, in_part: Array, k: Array, xp: Any
) -> tuple[Array, Array]:
    """Log unique tokens read, and log epochs over them, where e^k are seen for each at hand.

    Of e^`log_tokens` at hand all are read, or `in_part` as many as make e^`log_fewest` epochs.
    """
    read = xp.where(in_part, k - log_fewest, 0.0)
    return log_tokens + read, xp.where(in_part, log_fewest, k)


def _z(u: Any, regime: int, tilt: Array) -> list[Array]:
    if regime == MONOLINGUAL:
        return [u[0], u[1], u[0] * 0.0, u[0] * 0.0]
    if regime == SINGLE_STAGE:
        return [u[0], u[1], u[2], u[2]]
    return [u[0], u[1], u[2], u[3] + tilt * u[2]]


def recipe_of(
    u: Any,
    regime: int,
    log_tokens: Array,
    log_fewest: Array,
    in_part: Array,
    tilt: Array,
    first_share: Array,
) -> Recipe:
    """The recipe at u (d,) of a `RecipeProblem` with these fields."""
    xp = array_namespace(log_tokens, u[0])
    n, k, r, f = _z(u, regime, tilt)
    ratio = xp.exp(r)
    share = first_share if regime == TWO_STAGE else 1.0
    read, epochs = text_as_read(log_tokens, log_fewest, in_part, k, xp)
    return Recipe(xp.exp(n), xp.exp(read), xp.exp(epochs), ratio, xp.exp(f), share * ratio)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RecipeProblem:
    """One regime of a problem, or of P of them.

    Attributes:
        log_tokens: log of the unique target tokens at hand, ().
        log_fewest: log epochs over what is read where that is a part, ().
        in_part: whether a part of the text is read, () bool.
        limit: right-hand sides of `NAMED_LIMITS`, (15,); infinite where there is no such limit.
        sides: the same, infinite as well for limits that others keep anyway, (15,).
        serving: log(inference_tokens / (3·D_T)), (); −infinite without.
        low, high: box of u that contains all that is allowed, (d,).
        tilt: see above, ().
        first_share: r_1 / r, ().
        secant: (intercept, slope in k) of a line in place of the source limit's bent part, (2,);
            None for the limit itself.
        regime: index into `recipe.REGIMES`.
        rows: the limits there are in any of the problems.
        serves: whether any of them has inference to pay for.
    """

    log_tokens: Array
    log_fewest: Array
    in_part: Array
    limit: Array
    sides: Array
    serving: Array
    low: Array
    high: Array
    tilt: Array
    first_share: Array
    secant: Array | None
    regime: int = dataclasses.field(metadata={"static": True})
    rows: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    serves: bool = dataclasses.field(metadata={"static": True})

    def take(self, lanes: Any) -> RecipeProblem:
        """Some of the problems."""
        return jax.tree.map(lambda leaf: leaf[..., lanes], self)

    def z(self, u: Any) -> list[Array]:
        """(n, k, r, f) at u (d,); all logarithms."""
        return _z(u, self.regime, self.tilt)

    def slopes(self, name: str) -> list[Array | int]:
        """Coefficients of a linear limit in u, (d,); entries are 0 where they vanish for all."""
        n, k, r, f = LINEAR_LIMITS[name]
        if self.regime == MONOLINGUAL:
            return [n, k]
        if self.regime == SINGLE_STAGE:
            return [n, k, r + f]
        return [n, k, r + f * self.tilt if f else r, f]

    def recipe(self, u: Any) -> Recipe:
        """The recipe at u (d,)."""
        constants = self.log_tokens, self.log_fewest, self.in_part, self.tilt, self.first_share
        return recipe_of(u, self.regime, *constants)

    def slack(self, name: str, u: Any) -> Array:
        """What is left of a limit at u: >= 0 is kept; `FAR` where there is no such limit."""
        xp = array_namespace(self.sides, u[0])
        limit = self.sides[LIMIT_INDEX[name]]
        limit = xp.where(xp.isfinite(limit), limit, FAR)
        n, k, r, f = self.z(u)
        if name == "source_tokens" and self.secant is not None:
            return r + self.secant[0] + self.secant[1] * k
        if name == "source_tokens":
            # k·D_T·(1/r − 1) <= S, written so that it is finite and smooth up to r = 1.
            return r + xp.logaddexp(0.0, limit - k)
        if name == "compute" and self.serves:
            return limit - n - xp.logaddexp(k - r, self.serving)
        return limit - sum(
            c * x for c, x in zip(LINEAR_LIMITS[name], (n, k, r, f), strict=True) if c
        )

    def excess(self, u: Any) -> Array:
        """How far each limit of `rows` is overstepped, (m,)."""
        xp = array_namespace(self.sides, u[0])
        return xp.stack([-self.slack(name, u) for name in self.rows])

    def free(self) -> Array:
        """Which entries of u may vary, (d,) bool."""
        return self.high - self.low > HELD_WIDTH

    def place(self, cube: Any) -> list[Array]:
        """A point of the unit cube (d,) as a u that keeps every limit; inside the cube, inside.

        The limits are triangular: given r there is an interval for r_f and for k, given those one
        for N.
        """
        xp = array_namespace(self.low, cube[0])
        low, high, at = self.low, self.high, self.limit
        alone = self.regime == MONOLINGUAL
        r = low[0] * 0.0 if alone else low[2] + (high[2] - low[2]) * cube[2]
        v: list[Array] = []
        if self.regime == TWO_STAGE:
            bend = (self.tilt - 1.0) * r
            bottom = xp.maximum(
                xp.maximum(low[3], -at[LIMIT_INDEX["lowest final_ratio"]] - self.tilt * r),
                -at[LIMIT_INDEX["highest stage_fraction"]] - bend,
            )
            top = xp.minimum(
                xp.minimum(high[3], at[LIMIT_INDEX["highest final_ratio"]] - self.tilt * r),
                at[LIMIT_INDEX["lowest stage_fraction"]] - bend,
            )
            v = [bottom + xp.maximum(top - bottom, 0.0) * cube[3]]
        top = xp.minimum(high[1], log_most_epochs(self, low[0], r, xp))
        k = low[1] + xp.maximum(top - low[1], 0.0) * cube[1]
        top = xp.minimum(high[0], log_largest_model(self, k - r, xp))
        n = low[0] + xp.maximum(top - low[0], 0.0) * cube[0]
        return [n, k, *([] if alone else [r]), *v]


def log_token_room(problem: RecipeProblem, n: Array, xp: Any) -> Array:
    """Largest log(D / D_T) that the budgets leave to a model of log size n."""
    left = problem.limit[LIMIT_INDEX["compute"]] - n
    if problem.serves:
        owed = xp.minimum(problem.serving - left, 0.0)
        left = xp.where(owed < 0, left + xp.log1p(-xp.exp(xp.minimum(owed, -1e-15))), -xp.inf)
    hours = problem.limit[LIMIT_INDEX["gpu_hours"]] - n
    return xp.minimum(xp.minimum(left, hours), problem.limit[LIMIT_INDEX["total_tokens"]])


def log_most_epochs(problem: RecipeProblem, n: Array, r: Array, xp: Any) -> Array:
    """Largest log k at log size n and log ratio r."""
    most = log_token_room(problem, n, xp) + r
    if problem.regime != MONOLINGUAL and "source_tokens" in problem.rows:
        # k <= S / (D_T·(1/r − 1)), no cap at r = 1.
        per_epoch = xp.expm1(xp.maximum(-r, 1e-300))
        most = xp.minimum(most, problem.limit[LIMIT_INDEX["source_tokens"]] - xp.log(per_epoch))
    return most


def log_largest_model(problem: RecipeProblem, tokens: Array, xp: Any) -> Array:
    """Largest log N that the budgets leave to log(D / D_T)."""
    needs = xp.logaddexp(tokens, problem.serving) if problem.serves else tokens
    return xp.minimum(
        problem.limit[LIMIT_INDEX["compute"]] - needs,
        problem.limit[LIMIT_INDEX["gpu_hours"]] - tokens,
    )
