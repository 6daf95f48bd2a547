"""The recipe problem in log-variables: what may vary, within which limits.

With z = (log N, log k, log r, log r_f) every limit a practitioner has is linear in z, but for the
cap on unique source tokens. So one small problem is a matrix all problems share, a right-hand side,
and the plane its regime lives in: z = origin + basis·u.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import M3Error
from ..fitting import Scope
from ..laws import Law
from ..recipe import MONOLINGUAL, SINGLE_STAGE, TWO_STAGE, Array, Recipe

Bounds = tuple[float, float]

VARIABLES = ("n_params", "epochs", "target_ratio", "final_ratio")
_N, _K, _R, _F = range(4)

# Rows of the linear limits: name, coefficients of z.
_ROWS = {
    "compute": (1, 1, -1, 0),
    "total_tokens": (0, 1, -1, 0),
    "lowest n_params": (-1, 0, 0, 0),
    "highest n_params": (1, 0, 0, 0),
    "lowest epochs": (0, -1, 0, 0),
    "highest epochs": (0, 1, 0, 0),
    "lowest target_ratio": (0, 0, -1, 0),
    "highest target_ratio": (0, 0, 1, 0),
    "lowest final_ratio": (0, 0, 0, -1),
    "highest final_ratio": (0, 0, 0, 1),
    "target_ratio <= final_ratio": (0, 0, 1, -1),
    "lowest stage_fraction": (0, 0, -1, 1),
    "highest stage_fraction": (0, 0, 1, -1),
}
LIMITS = (*_ROWS, "source_tokens")
_MATRIX = np.array(list(_ROWS.values()), dtype=np.float64)

_SAME = 1e-9  # bounds closer than this hold their variable


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Problem:
    """One regime of one problem; a batch has leading axes on every leaf.

    Attributes:
        target_tokens: D_T, shape ().
        limit: right-hand sides, shape (13,); infinite where there is no such limit.
        log_source: log(cap on source tokens / D_T), shape (); infinite without a cap.
        origin, basis: z = origin + basis·u, shapes (4,) and (4, 4).
        low, high: box of u that contains all that is allowed, shape (4,).
        corner: the least demanding u, shape (4,): if it breaks a limit, nothing keeps it.
        first_share: r_1 / r, shape ().
    """

    target_tokens: Array
    limit: Array
    log_source: Array
    origin: Array
    basis: Array
    low: Array
    high: Array
    corner: Array
    first_share: Array

    def recipe(self, u: Array) -> Recipe:
        """The recipe at u (4,)."""
        z = self.origin + self.basis @ u
        ratio = jnp.exp(z[_R])
        return Recipe(
            n_params=jnp.exp(z[_N]),
            target_tokens=self.target_tokens,
            epochs=jnp.exp(z[_K]),
            target_ratio=ratio,
            final_ratio=jnp.exp(z[_F]),
            first_ratio=self.first_share * ratio,
        )

    def excess(self, u: Array) -> Array:
        """How far each limit is overstepped, shape (14,): <= 0 is kept, −inf is no limit."""
        z = self.origin + self.basis @ u
        # k·D_T·(1/r − 1) <= S, written so that it is finite and smooth up to r = 1.
        source = jnp.where(
            jnp.isfinite(self.log_source),
            -z[_R] - jnp.logaddexp(0.0, jnp.nan_to_num(self.log_source) - z[_K]),
            -jnp.inf,
        )
        return jnp.append(jnp.asarray(_MATRIX, dtype=z.dtype) @ z - self.limit, source)

    def binding(self) -> Array:
        """Which limits exist and depend on u, shape (14,) bool."""
        depends = jnp.any(jnp.asarray(_MATRIX) @ self.basis != 0, axis=1)
        source = jnp.any(self.basis[_K : _R + 1] != 0) & jnp.isfinite(self.log_source)
        return jnp.append(depends & jnp.isfinite(self.limit), source)

    def moving(self) -> Array:
        """Which entries of u matter, shape (4,) bool."""
        return jnp.any(self.basis != 0, axis=0)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one language's recipe may be, before compute and corpus size are known.

    Attributes:
        bounds: (low, high) by name in `VARIABLES`.
        stage_fraction: (low, high) of s in two-stage recipes.
        first_share: r_1 / r of two-stage recipes.
        regimes: those on offer, indices into `recipe.REGIMES`.
        total_tokens, source_tokens: caps, infinite for none.
        messages: what was held and why.
    """

    bounds: Mapping[str, Bounds]
    stage_fraction: Bounds
    first_share: float
    regimes: tuple[int, ...]
    total_tokens: float
    source_tokens: float
    messages: tuple[str, ...]


def limits_for(
    language: str,
    law: Law,
    scope: Scope,
    *,
    bounds: Mapping[str, Bounds],
    stage_fraction: Bounds | None,
    first_share: float | None,
    total_tokens: float,
    source_tokens: float,
    extrapolate: bool,
) -> Limits:
    """The user's bounds, completed from what the runs cover.

    A variable the runs or the law say nothing about is held at what was run, unless `extrapolate`.
    Raises `M3Error` where the user's bounds exclude that.
    """
    low = {name: scope.ranges[name][0] for name in VARIABLES}
    high = {name: scope.ranges[name][1] for name in VARIABLES}
    wide = 100.0 if extrapolate else 1.0
    default = {
        # Model size is what small runs are extrapolated in; compute bounds it from above.
        "n_params": (low["n_params"] / wide, high["n_params"] * 1e4 * wide),
        "epochs": (min(1.0, low["epochs"]) / wide, high["epochs"] * wide),
        "target_ratio": (low["target_ratio"] / wide, 1.0 if extrapolate else high["target_ratio"]),
        "final_ratio": (low["target_ratio"] / wide, 1.0 if extrapolate else high["final_ratio"]),
    }
    messages = []
    if not extrapolate:
        for name in VARIABLES:
            reason = ""
            if name not in law.variables and name != "epochs":
                reason = f"law {law.name} does not see it"
            elif name not in scope.varies:
                reason = "the runs do not vary it"
            if not reason or (name == "epochs" and low[name] < high[name]):
                continue
            if name == "final_ratio":
                messages.append(f"one stage only: final_ratio: {reason}")
                continue
            held = high[name] if name == "target_ratio" else float(np.sqrt(low[name] * high[name]))
            default[name] = (held, held)
            messages.append(f"{name} held at {held:.6g}: {reason}")
    chosen = {}
    for name in VARIABLES:
        given = bounds.get(name)
        start, end = default[name]
        if given is None:
            chosen[name] = (start, end)
        elif end / start - 1 > _SAME:
            chosen[name] = given
        elif given[0] <= start * (1 + _SAME) and end <= given[1] * (1 + _SAME):
            chosen[name] = (start, end)
        else:
            raise M3Error(
                f"language {language!r}: bounds {given[0]:g} to {given[1]:g} exclude the only"
                f" {name} that the runs tell about, {start:g}; widen them or pass extrapolate=True"
            )
    two_stage = extrapolate or (
        "final_ratio" in scope.varies and {"final_ratio", "target_ratio"} <= set(law.variables)
    )
    regimes = []
    if chosen["target_ratio"][1] >= 1 - _SAME and chosen["final_ratio"][1] >= 1 - _SAME:
        regimes.append(MONOLINGUAL)
    if chosen["target_ratio"][0] < 1 - _SAME:
        regimes += [SINGLE_STAGE, TWO_STAGE] if two_stage else [SINGLE_STAGE]
    span = stage_fraction or scope.ranges.get("stage_fraction", (0.05, 1.0))
    share = scope.first_share if first_share is None else first_share
    return Limits(chosen, span, share, tuple(regimes), total_tokens, source_tokens, tuple(messages))


def build(limits: Limits, compute: float, target_tokens: float, regime: int) -> Problem:
    """One regime of one problem. Raises nothing: `broken` says whether it can be solved."""
    log_tokens = np.log(target_tokens)
    low, high = (np.log([limits.bounds[v][side] for v in VARIABLES]) for side in (0, 1))
    limit = dict.fromkeys(_ROWS, np.inf)
    limit["compute"] = np.log(compute / 6.0) - log_tokens
    if np.isfinite(limits.total_tokens):
        limit["total_tokens"] = np.log(limits.total_tokens) - log_tokens

    basis, origin = np.eye(4), np.zeros(4)
    share = 1.0
    if regime == MONOLINGUAL:
        low[[_R, _F]] = high[[_R, _F]] = 0.0
    elif regime == SINGLE_STAGE:
        # r_f is r, so both sets of bounds are on r.
        low[_R], high[_R] = max(low[_R], low[_F]), min(high[_R], high[_F])
        low[_F] = high[_F] = 0.0
        basis[_F, _R] = 1.0
    else:
        # s = (r − r_1)/(r_f − r_1) with r_1 = φ·r gives r_f = r·(φ + (1 − φ)/s): linear in logs.
        share = limits.first_share
        widest, narrowest = (
            np.log(share + (1 - share) / limits.stage_fraction[side]) for side in (0, 1)
        )
        limit["lowest stage_fraction"] = widest
        if narrowest > 0:
            limit["highest stage_fraction"] = -narrowest
        else:
            limit["target_ratio <= final_ratio"] = 0.0
        high[_R] = min(high[_R], high[_F] - narrowest)

    for j, name in enumerate(VARIABLES):
        if abs(high[j] - low[j]) <= _SAME:
            origin += basis[:, j] * low[j]
            basis[:, j] = 0.0
        elif j != _F or regime == TWO_STAGE:
            limit[f"lowest {name}"], limit[f"highest {name}"] = -low[j], high[j]
    # The least demanding recipe: small model, few epochs, no more source text than need be.
    corner = np.array([low[_N], low[_K], high[_R], high[_F]])
    if regime == TWO_STAGE:
        corner[_F] = min(high[_F], high[_R] + limit["lowest stage_fraction"])
    roof = limit["compute"] - low[_K] + high[_R]
    high[_N] = max(low[_N], min(high[_N], roof))
    source = np.inf
    if np.isfinite(limits.source_tokens):
        source = np.log(limits.source_tokens) - log_tokens
    return Problem(
        target_tokens=np.asarray(float(target_tokens)),
        limit=np.array([limit[name] for name in _ROWS]),
        log_source=np.asarray(source),
        origin=origin,
        basis=basis,
        low=low,
        high=high,
        corner=corner,
        first_share=np.asarray(share),
    )


def broken(limits: Limits, problem: Problem) -> str | None:
    """Why no recipe keeps all limits of an (unbatched, NumPy) problem, or None if one does.

    Each limit is easiest to keep at the corner, so a limit broken there is broken everywhere.
    """
    for name, (low, high) in zip(
        VARIABLES, zip(problem.low, problem.high, strict=True), strict=True
    ):
        if low > high + _SAME:
            return f"no {name} lies between its lowest and highest allowed value"
    excess = np.asarray(problem.excess(jnp.asarray(problem.corner)))
    worst = int(np.argmax(excess))
    if excess[worst] <= 1e-9:
        return None
    recipe = problem.recipe(jnp.asarray(problem.corner))
    name, factor = LIMITS[worst], float(np.exp(excess[worst]))
    least = (
        f"the least demanding allowed recipe (n_params {float(recipe.n_params):.4g}, epochs"
        f" {float(recipe.epochs):.4g}, target_ratio {float(recipe.target_ratio):.4g})"
    )
    amounts = {
        "compute": (float(recipe.compute), "FLOP"),
        "total_tokens": (float(recipe.total_tokens), "tokens"),
        "source_tokens": (float(recipe.source_tokens), "tokens"),
    }
    if name in amounts:
        needs, unit = amounts[name]
        cap = needs / factor if name != "source_tokens" else limits.source_tokens
        return f"{name}: {least} needs {needs:.4g} {unit}, the limit is {cap:.4g}"
    return f"{name} cannot be kept: even {least} oversteps it by a factor of {factor:.4g}"
