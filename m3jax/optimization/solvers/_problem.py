"""The recipe problem in log-variables: limits as planes, many problems side by side.

With z = (log N, log k, log r, log r_f) every limit is linear in z but for two: unique source tokens
(concave: k·D_T·(1/r − 1) <= S) and a compute budget that also pays for inference (convex). A regime
is a face: u = (n, k) monolingual, (n, k, r) single-stage, (n, k, r, v) two-stage, where log r_f is
v + tilt·r. Problems are arrays with the batch in the last axis, so that all arithmetic is
elementwise; the same functions take one problem without that axis.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE, Array, Recipe
from ...variables import DECISION_VARIABLES

SAME = 1e-9  # bounds closer than this, in log units, hold their variable

# Linear limits: name -> coefficients of z, for limit >= coefficients·z.
ROWS = {
    "compute": (1, 1, -1, 0),
    "gpu_hours": (1, 1, -1, 0),
    "total_tokens": (0, 1, -1, 0),
    "lowest n_params": (-1, 0, 0, 0),
    "highest n_params": (1, 0, 0, 0),
    "lowest epochs": (0, -1, 0, 0),
    "highest epochs": (0, 1, 0, 0),
    "lowest target_ratio": (0, 0, -1, 0),
    "highest target_ratio": (0, 0, 1, 0),
    "lowest final_ratio": (0, 0, 0, -1),
    "highest final_ratio": (0, 0, 0, 1),
    "lowest stage_fraction": (0, 0, -1, 1),
    "highest stage_fraction": (0, 0, 1, -1),
    "lowest first_ratio": (0, 0, -1, 0),
}
NAMED = (*ROWS, "source_tokens")  # the limits of a `RecipeProblem`
LIMITS = (*NAMED, "source_loss", "constraint")  # with those given as functions of the recipe
AT = {name: i for i, name in enumerate(LIMITS)}

DIMENSIONS = {MONOLINGUAL: 2, SINGLE_STAGE: 3, TWO_STAGE: 4}
# Kept in view whether they are needed or not, so that few kinds of problems are ever compiled.
_USUAL: dict[int, set[str]] = {
    regime: {"compute"}
    | {
        f"{side} {name}"
        for side in ("lowest", "highest")
        for name in DECISION_VARIABLES[: min(d, 3)]
    }
    | (
        {"highest final_ratio", "lowest stage_fraction", "highest stage_fraction"}
        if regime == TWO_STAGE
        else set()
    )
    for regime, d in DIMENSIONS.items()
}
FAR = 1e9  # where a limit stands that is not there: so far off that nothing feels it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Question:
    """What one problem asks, in the user's units; leaves () or (P,), infinite without a cap.

    Attributes:
        compute: FLOP, training 6·N·D and serving 2·N·inference_tokens.
        target_tokens: D_T.
        low, high: bounds of (n_params, epochs, target_ratio, final_ratio), (4,) or (4, P).
        stage_low, stage_high: of the final stage's share of tokens.
        first_share: r_1 / r in two-stage recipes.
        first_ratio: lowest r_1; 0 for none.
        total_tokens, source_tokens: caps; the latter is unique tokens times epochs over them.
        inference_tokens: 0 for none.
        gpu_flops: training FLOP that the GPU hours allow.
    """

    compute: Array
    target_tokens: Array
    low: Array
    high: Array
    stage_low: Array
    stage_high: Array
    first_share: Array
    first_ratio: Array
    total_tokens: Array
    source_tokens: Array
    inference_tokens: Array
    gpu_flops: Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RecipeProblem:
    """One regime of a problem, or of P of them.

    Attributes:
        log_tokens: log D_T, ().
        limit: right-hand sides of `NAMED`, (15,); infinite where there is no such limit.
        sides: the same, infinite as well for limits that others keep anyway, (15,).
        serving: log(inference_tokens / (3·D_T)), (); −infinite without.
        low, high: box of u that contains all that is allowed, (d,).
        tilt: see above, ().
        first_share: r_1 / r, ().
        chord: (intercept, slope in k) of a line in place of the source limit's bent part, (2,);
            None for the limit itself.
        regime: index into `recipe.REGIMES`.
        rows: the limits there are in any of the problems.
        serves: whether any of them has inference to pay for.
    """

    log_tokens: Array
    limit: Array
    sides: Array
    serving: Array
    low: Array
    high: Array
    tilt: Array
    first_share: Array
    chord: Array | None
    regime: int = dataclasses.field(metadata={"static": True})
    rows: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    serves: bool = dataclasses.field(metadata={"static": True})

    def take(self, lanes: Any) -> RecipeProblem:
        """Some of the problems."""
        return jax.tree.map(lambda leaf: leaf[..., lanes], self)

    def z(self, u: Any) -> list[Array]:
        """(n, k, r, f) at u (d,); all logarithms."""
        if self.regime == MONOLINGUAL:
            return [u[0], u[1], u[0] * 0.0, u[0] * 0.0]
        if self.regime == SINGLE_STAGE:
            return [u[0], u[1], u[2], u[2]]
        return [u[0], u[1], u[2], u[3] + self.tilt * u[2]]

    def slopes(self, name: str) -> list[Array | int]:
        """Coefficients of a linear limit in u, (d,); entries are 0 where they vanish for all."""
        n, k, r, f = ROWS[name]
        if self.regime == MONOLINGUAL:
            return [n, k]
        if self.regime == SINGLE_STAGE:
            return [n, k, r + f]
        return [n, k, r + f * self.tilt if f else r, f]

    def recipe(self, u: Any) -> Recipe:
        """The recipe at u (d,)."""
        n, k, r, f = self.z(u)
        ratio = jnp.exp(r)
        share = self.first_share if self.regime == TWO_STAGE else 1.0
        return Recipe(
            jnp.exp(n), jnp.exp(self.log_tokens), jnp.exp(k), ratio, jnp.exp(f), share * ratio
        )

    def slack(self, name: str, u: Any) -> Array:
        """What is left of a limit at u: >= 0 is kept; `FAR` where there is no such limit."""
        limit = self.sides[AT[name]]
        limit = jnp.where(jnp.isfinite(limit), limit, FAR)
        n, k, r, f = self.z(u)
        if name == "source_tokens" and self.chord is not None:
            return r + self.chord[0] + self.chord[1] * k
        if name == "source_tokens":
            # k·D_T·(1/r − 1) <= S, written so that it is finite and smooth up to r = 1.
            return r + jnp.logaddexp(0.0, limit - k)
        if name == "compute" and self.serves:
            return limit - n - jnp.logaddexp(k - r, self.serving)
        return limit - sum(c * x for c, x in zip(ROWS[name], (n, k, r, f), strict=True) if c)

    def excess(self, u: Any) -> Array:
        """How far each limit of `rows` is overstepped, (m,)."""
        return jnp.stack([-self.slack(name, u) for name in self.rows])

    def free(self) -> Array:
        """Which entries of u may vary, (d,) bool."""
        return self.high - self.low > SAME

    def place(self, cube: Any) -> list[Array]:
        """A point of the unit cube (d,) as a u that keeps every limit; inside the cube, inside.

        The limits are triangular: given r there is an interval for r_f and for k, given those one
        for N.
        """
        low, high, at = self.low, self.high, self.limit
        alone = self.regime == MONOLINGUAL
        r = low[0] * 0.0 if alone else low[2] + (high[2] - low[2]) * cube[2]
        v: list[Array] = []
        if self.regime == TWO_STAGE:
            bend = (self.tilt - 1.0) * r
            bottom = jnp.maximum(
                jnp.maximum(low[3], -at[AT["lowest final_ratio"]] - self.tilt * r),
                -at[AT["highest stage_fraction"]] - bend,
            )
            top = jnp.minimum(
                jnp.minimum(high[3], at[AT["highest final_ratio"]] - self.tilt * r),
                at[AT["lowest stage_fraction"]] - bend,
            )
            v = [bottom + jnp.maximum(top - bottom, 0.0) * cube[3]]
        top = jnp.minimum(high[1], _most_epochs(self, low[0], r, jnp))
        k = low[1] + jnp.maximum(top - low[1], 0.0) * cube[1]
        top = jnp.minimum(high[0], _largest_model(self, k - r, jnp))
        n = low[0] + jnp.maximum(top - low[0], 0.0) * cube[0]
        return [n, k, *([] if alone else [r]), *v]


def _room(problem: RecipeProblem, n: Array, xp: Any) -> Array:
    """Largest log(D / D_T) that the budgets leave to a model of log size n."""
    left = problem.limit[AT["compute"]] - n
    if problem.serves:
        owed = xp.minimum(problem.serving - left, 0.0)
        left = xp.where(owed < 0, left + xp.log1p(-xp.exp(xp.minimum(owed, -1e-15))), -xp.inf)
    hours = problem.limit[AT["gpu_hours"]] - n
    return xp.minimum(xp.minimum(left, hours), problem.limit[AT["total_tokens"]])


def _most_epochs(problem: RecipeProblem, n: Array, r: Array, xp: Any) -> Array:
    """Largest log k at log size n and log ratio r."""
    most = _room(problem, n, xp) + r
    if problem.regime != MONOLINGUAL and "source_tokens" in problem.rows:
        # k <= S / (D_T·(1/r − 1)), no cap at r = 1.
        per_epoch = xp.expm1(xp.maximum(-r, 1e-300))
        most = xp.minimum(most, problem.limit[AT["source_tokens"]] - xp.log(per_epoch))
    return most


def _largest_model(problem: RecipeProblem, tokens: Array, xp: Any) -> Array:
    """Largest log N that the budgets leave to log(D / D_T)."""
    needs = xp.logaddexp(tokens, problem.serving) if problem.serves else tokens
    return xp.minimum(problem.limit[AT["compute"]] - needs, problem.limit[AT["gpu_hours"]] - tokens)


def right_sides(question: Question, regime: int, xp: Any = np) -> Array:
    """Right-hand sides of `NAMED`, (15,) or (15, P); differentiable in the question."""
    q = question
    t = xp.log(q.target_tokens)
    none = xp.inf + 0.0 * t
    low, high = xp.log(q.low), xp.log(q.high)
    limit = {
        "compute": xp.log(q.compute / 6.0) - t,
        "gpu_hours": xp.log(q.gpu_flops / 6.0) - t,
        "total_tokens": xp.log(q.total_tokens) - t,
    }
    for j, name in enumerate(DECISION_VARIABLES):
        ratio = name.endswith("ratio")
        absent = regime == MONOLINGUAL and ratio
        limit[f"lowest {name}"] = none if absent else -low[j] + 0.0 * t
        limit[f"highest {name}"] = none if absent else high[j] + 0.0 * t
    if regime == TWO_STAGE:
        # s = (r − r_1)/(r_f − r_1) with r_1 = φ·r gives r_f = r·(φ + (1 − φ)/s): linear in logs.
        share = q.first_share
        limit["lowest stage_fraction"] = xp.log(share + (1 - share) / q.stage_low) + 0.0 * t
        limit["highest stage_fraction"] = -xp.log(share + (1 - share) / q.stage_high) + 0.0 * t
        asked = q.first_ratio > 0
        least = xp.where(asked, q.first_ratio, 1.0)
        # Nothing before the final stage cannot be made something.
        reach = xp.where(share > 0, xp.log(xp.where(share > 0, share, 1.0)), -1e3)
        limit["lowest first_ratio"] = xp.where(asked, reach - xp.log(least), xp.inf) + 0.0 * t
    if regime != MONOLINGUAL:
        limit["source_tokens"] = xp.log(q.source_tokens) - t
    return xp.stack([limit.get(name, none) for name in NAMED])


def build(
    question: Question,
    regime: int,
    xp: Any = np,
    rows: tuple[str, ...] | None = None,
    lift: bool = False,
) -> tuple[RecipeProblem, Array]:
    """One regime of P problems, and which of them have any solution, (P,) bool.

    `rows` may be given where the arrays are traced; else those that are needed are found. `lift`
    writes any regime as two-stage with variables held (r_f = r; r = 1), so that all regimes can be
    solved in one batch: less to compile, more to compute.
    """
    limit = right_sides(question, regime, xp)
    share = question.first_share
    if lift and regime != TWO_STAGE:
        held = ["lowest stage_fraction", "highest stage_fraction"]
        if regime == MONOLINGUAL:
            held += ["lowest target_ratio", "highest target_ratio"]
        here = np.array([name in held for name in NAMED]).reshape(-1, *[1] * (limit.ndim - 1))
        limit, share, regime = xp.where(here, 0.0, limit), 1.0, TWO_STAGE
    served = question.inference_tokens
    serves = isinstance(served, jax.core.Tracer) or bool(np.any(np.asarray(served) > 0))
    t = xp.log(question.target_tokens)
    asked = question.inference_tokens > 0
    owed = xp.log(xp.where(asked, question.inference_tokens, 1.0) / 3.0)
    serving = xp.where(asked, owed, -FAR) - t
    return face(limit, t, serving, share + 0.0 * t, regime, serves, xp, rows)


def face(
    limit: Array,
    log_tokens: Array,
    serving: Array,
    share: Array,
    regime: int,
    serves: bool,
    xp: Any = np,
    rows: tuple[str, ...] | None = None,
) -> tuple[RecipeProblem, Array]:
    """`build` from right-hand sides."""
    at = {name: limit[i] for i, name in enumerate(NAMED)}
    zero = 0.0 * log_tokens
    n_low, n_high = -at["lowest n_params"], at["highest n_params"]
    k_low, k_high = -at["lowest epochs"], at["highest epochs"]
    tilt = zero
    rough = RecipeProblem(
        log_tokens, limit, limit, serving, None, None, tilt, share, None, regime, NAMED, serves
    )
    room = _room(rough, n_low, xp)
    if regime == MONOLINGUAL:
        r_low = r_high = zero
    else:
        r_low = xp.maximum(-at["lowest target_ratio"], k_low - room)
        r_high = at["highest target_ratio"]
        # k·D_T·(1/r − 1) <= S at the fewest epochs.
        r_low = xp.maximum(r_low, -xp.logaddexp(0.0, at["source_tokens"] - k_low))
        narrow, wide = zero, zero
        if regime == TWO_STAGE:
            narrow, wide = -at["highest stage_fraction"], at["lowest stage_fraction"]
            r_low = xp.maximum(r_low, -at["lowest first_ratio"])
        f_low, f_high = -at["lowest final_ratio"], at["highest final_ratio"]
        r_low = xp.maximum(r_low, f_low - wide)
        r_high = xp.minimum(r_high, f_high - narrow)
        f_low = xp.maximum(f_low, r_low + narrow)
        f_high = xp.minimum(f_high, r_high + wide)
    k_high = xp.minimum(k_high, _most_epochs(rough, n_low, r_high, xp))
    n_high = xp.minimum(n_high, _largest_model(rough, k_low - r_high, xp))
    low, high = [n_low, k_low], [n_high, k_high]
    if regime != MONOLINGUAL:
        low, high = [*low, r_low], [*high, r_high]
    if regime == TWO_STAGE:
        # Where the stage is held, move along it; else move r_f by itself.
        held = wide - narrow <= SAME
        tilt = xp.where(held, 1.0, 0.0)
        low.append(xp.where(held, narrow, f_low))
        high.append(xp.where(held, wide, f_high))
    low, high = xp.stack(low), xp.stack(high)
    possible = xp.all(low <= high + SAME, axis=0)
    if regime == TWO_STAGE:
        possible = possible & (wide >= narrow - SAME) & (f_low <= f_high + SAME)
    # What has no solution is never solved, but its numbers stay finite.
    low, high = xp.where(possible, low, 0.0), xp.where(possible, high, 1.0)
    # A box of no width holds its variable, at a place all limits allow.
    middle = (low + high) / 2
    shut = high - low <= SAME
    low, high = xp.where(shut, middle, low), xp.where(shut, middle, high)
    sides = _without_idle(limit, low, high, tilt, regime, serves, xp)
    if rows is None:
        there = np.isfinite(limit) & possible
        rows = tuple(
            name for name, any_one in zip(NAMED, there.any(axis=-1), strict=True) if any_one
        )
    return (
        RecipeProblem(
            log_tokens, limit, sides, serving, low, high, tilt, share, None, regime, rows, serves
        ),
        possible,
    )


def concerns(name: str, regime: int) -> bool:
    """Whether a limit can matter in a regime."""
    if regime == TWO_STAGE:
        return True
    staged = name.endswith(("stage_fraction", "first_ratio"))
    alone = regime == MONOLINGUAL and (name.endswith("ratio") or name == "source_tokens")
    return not staged and not alone


def _without_idle(
    limit: Array, low: Array, high: Array, tilt: Array, regime: int, serves: bool, xp: Any
) -> Array:
    """Right-hand sides, infinite for limits that others keep anyway: none is there twice."""
    at = dict(zip(NAMED, limit, strict=True))
    place = {"n_params": 0, "epochs": 1, "target_ratio": 2}
    for variable, j in place.items():
        if j < len(low):
            for name, own in ((f"lowest {variable}", -low[j]), (f"highest {variable}", high[j])):
                idle = (own < at[name] - SAME) | (high[j] - low[j] <= SAME)
                at[name] = xp.where(idle, xp.inf, at[name])
    for side, sign in (("lowest", -1.0), ("highest", 1.0)):
        name = f"{side} final_ratio"
        if regime == SINGLE_STAGE:
            idle = at[name] >= limit[AT[f"{side} target_ratio"]] - SAME
            at[name] = xp.where(idle, xp.inf, at[name])
        elif regime == TWO_STAGE:
            own = (low if side == "lowest" else high)[3] * sign
            alone = (tilt == 0) & ((own < at[name] - SAME) | (high[3] - low[3] <= SAME))
            # Along a held stage it is a bound on r.
            bound = limit[AT[f"{side} target_ratio"]] + sign * low[3]
            along = (tilt == 1) & ((at[name] >= bound - SAME) | (high[2] - low[2] <= SAME))
            at[name] = xp.where(alone | along, xp.inf, at[name])
    if regime == TWO_STAGE:
        for name in ("lowest stage_fraction", "highest stage_fraction"):
            at[name] = xp.where(tilt == 1, xp.inf, at[name])
        at["lowest first_ratio"] = xp.where(
            high[2] - low[2] <= SAME, xp.inf, at["lowest first_ratio"]
        )
    if not serves:
        slower = at["gpu_hours"] < at["compute"]
        at["compute"], at["gpu_hours"] = (
            xp.where(slower, xp.inf, at["compute"]),
            xp.where(slower, at["gpu_hours"], xp.inf),
        )
    return xp.stack(list(at.values()))


def clash(
    limit: Array,
    log_tokens: Array,
    serving: Array,
    share: Array,
    regime: int,
    serves: bool,
) -> np.ndarray:
    """For impossible problems, a smallest set of limits that cannot be kept together, (15, P) bool.

    Smallest in that any one of them taken away leaves a problem with a solution.
    """
    limit = np.array(limit)
    inside = np.isfinite(limit)
    for i in range(len(NAMED)):
        if not inside[i].any():
            continue
        without = limit.copy()
        without[i] = np.inf
        with np.errstate(invalid="ignore"):
            _, possible = face(without, log_tokens, serving, share, regime, serves, np, NAMED)
        # Still impossible without it: it is not to blame.
        limit = np.where(possible, limit, without)
        inside[i] &= possible
    return inside
