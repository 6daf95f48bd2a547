"""`optimize`: the best recipe for every language, budget and corpus size, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from .._progress import Progress, silent
from ..fitting import Fits, interval, predict
from ..recipe import REGIMES
from ._result import Outside, Position, Recommendations
from .question import OBJECTIVES, Asked, Limits, ask, robust_task, user_task, why_not
from .solvers import Solved, recipes, solve

_TIE = 1e-9  # relative loss below which the simpler regime is taken
_BLOCK = 1 << 18  # questions × draws solved in one go


def optimize(
    fits: Fits,
    *,
    compute: npt.ArrayLike,
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    languages: Sequence[str] | None = None,
    objective: str = "point",
    certify: bool = False,
    gap: float = 1e-4,
    method: str = "auto",
    extrapolate: bool = False,
    draws: int = 100,
    level: float = 0.9,
    progress: Progress | None = None,
    **limits: Any,
) -> Recommendations:
    """The recipe with the lowest predicted loss under the limits, for all combinations at once.

    Searches model size, epochs, target ratio and final-stage ratio in log-variables, separately in
    each regime, and solves again under bootstrap draws of the coefficients for intervals.

    Args:
        fits: fitted laws.
        compute: budget(s) 6·N·D in FLOP, a number or (C,).
        target_tokens: unique target tokens, a number, (T,), or language -> either.
        languages: which of the fitted languages; default all.
        objective: "point", the loss under the fitted coefficients; or over the bootstrap draws
            "mean", the mean loss, "quantile", the loss's quantile at `level`, or "regret", the
            largest loss given up against any draw's own best recipe.
        certify: prove each answer by branch and bound; `Recommendations.gap` has what is proven.
        gap: to prove, in log loss.
        method: "fast", for laws made of terms such as `m3` under limits by name; "general", for
            any law and constraint; "auto" takes the first that can.
        extrapolate: vary even what the runs say nothing about.
        draws: bootstrap draws to use, at most those in `fits`.
        level: of the intervals.
        progress: called as `progress(stage, done, total)`.
        limits: further limits by name, see `Limits`.

    Raises `M3Error` on options outside their range, unknown languages, bounds that exclude the only
    value the runs tell about, and where no combination allows any recipe.
    """
    if draws < 0 or not 0 < level < 1:
        raise M3Error(f"expected draws >= 0 and 0 < level < 1, got {draws} and {level}")
    if objective not in OBJECTIVES:
        raise M3Error(f"unknown objective {objective!r}; known: {', '.join(OBJECTIVES)}")
    asked = ask(
        fits,
        compute=compute,
        target_tokens=target_tokens,
        languages=languages,
        limits=Limits.of(**limits),
        extrapolate=extrapolate,
    )
    count = min(draws, fits.draws.shape[1])
    if objective != "point" and not count:
        raise M3Error(
            f"objective {objective!r} needs bootstrap draws: the fits or `draws` have none"
        )
    report = progress or silent
    with jax.enable_x64(True):
        whose = asked.index[asked.language]
        report("optimizing", 0, 1 + count)
        task, args = user_task(fits, asked)
        solved = solve(
            fits.law,
            fits.theta[whose].T.copy(),
            asked.question,
            asked.regimes,
            ladder=asked.limits.ladder,
            method=method,
            certify=certify and objective == "point",
            gap=gap,
            task=task,
            args=args,
        )
        possible = np.isfinite(solved.log_loss).any(axis=0)
        infeasible = _reasons(asked, solved, possible)
        drawn = _draws(fits, asked, possible, count, method, report)
        if objective != "point":
            if certify:
                raise M3Error("certify=True proves the point objective only")
            solved = _robust(fits, asked, possible, drawn, objective, level)
        report("optimizing", 1 + count, 1 + count)
        return _collect(fits, asked, solved, drawn, possible, infeasible, count, level)


def _reasons(asked: Asked, solved: Solved, possible: np.ndarray) -> dict[Position, str]:
    """Why nothing is allowed, by position. Raises `M3Error` where nothing is allowed anywhere."""
    found: dict[Position, str] = {}
    for p in np.flatnonzero(~possible).tolist():
        i, j, t = (int(axis) for axis in np.unravel_index(p, asked.shape))
        found[i, j, t] = why_not(asked, p, solved.blame[:, p], float(solved.beyond[p]))
    if not possible.any():
        (i, j, t), reason = next(iter(found.items()))
        raise M3Error(
            f"language {asked.names[i]!r}, compute {asked.compute[j]:.4g} FLOP, target_tokens"
            f" {asked.target_tokens[i, t]:.4g}: no recipe is allowed: {reason}"
        )
    return found


class DrawOptima:
    """The best under each draw: log loss by regime (3, P, B) and z (3, 4, P, B)."""

    def __init__(self, total: int, count: int) -> None:
        self.log_loss = np.full((len(REGIMES), total, count), np.inf)
        self.z = np.zeros((len(REGIMES), 4, total, count))


def _draws(
    fits: Fits, asked: Asked, possible: np.ndarray, count: int, method: str, report: Progress
) -> DrawOptima:
    """Solve every possible question again under each of `count` draws."""
    drawn = DrawOptima(len(possible), count)
    if not count:
        return drawn
    todo = np.flatnonzero(possible)
    size = max(1, _BLOCK // count)
    for start in range(0, len(todo), size):
        rows = todo[start : start + size]
        report("optimizing", 1 + count * start // len(todo), 1 + count)
        lanes = np.repeat(rows, count)
        theta = fits.draws[asked.index[asked.language[rows]], :count]
        task, args = user_task(fits, asked, lanes)
        solved = solve(
            fits.law,
            theta.reshape(len(lanes), -1).T.copy(),
            jax.tree.map(lambda leaf, o=lanes: leaf[..., o], asked.question),
            asked.regimes[:, lanes],
            ladder=asked.limits.ladder,
            method=method,
            task=task,
            args=args,
            thorough=False,
        )
        drawn.log_loss[:, rows] = solved.log_loss.reshape(len(REGIMES), len(rows), count)
        drawn.z[:, :, rows] = solved.z.reshape(len(REGIMES), 4, len(rows), count)
    return drawn


def _robust(
    fits: Fits, asked: Asked, possible: np.ndarray, drawn: DrawOptima, objective: str, level: float
) -> Solved:
    """The recipes that are best over the draws; log losses are those of the fit."""
    own = np.where(possible[:, None], drawn.log_loss.min(axis=0), 0.0)
    count = own.shape[1]
    whose = asked.index[asked.language]
    task, args = robust_task(fits, asked, objective, level)
    theta = fits.theta[whose].T.copy()
    solved = solve(
        fits.law,
        theta,
        asked.question,
        asked.regimes & possible,
        ladder=asked.limits.ladder,
        method="general",
        task=task,
        args={**args, "draws": fits.draws[whose, :count], "best": own},
    )
    # Which regime is chosen goes by the objective; what is reported is the fit's own prediction.
    best = np.argmin(solved.log_loss, axis=0)
    losses = np.full_like(solved.log_loss, np.inf)
    for regime in range(len(REGIMES)):
        lanes = np.flatnonzero((best == regime) & np.isfinite(solved.log_loss[regime]))
        if not len(lanes):
            continue
        mine = jax.tree.map(lambda leaf, o=lanes: leaf[..., o], asked.question)
        recipe = recipes(solved.z[regime][:, lanes], mine, regime)
        with jax.enable_x64(True):
            found = jax.vmap(fits.law.log_loss_theta)(fits.theta[whose[lanes]], recipe)
        losses[regime, lanes] = np.asarray(found)
    solved.log_loss[:] = losses
    return solved


def _collect(
    fits: Fits,
    asked: Asked,
    solved: Solved,
    drawn: DrawOptima,
    possible: np.ndarray,
    infeasible: Mapping[Position, str],
    n_draws: int,
    level: float,
) -> Recommendations:
    """Lay the solved regimes out on (L, C, T, 3) and take the best of each."""
    shape = asked.shape
    loss = np.exp(solved.log_loss)
    regime = _first_best(loss)
    lanes = np.arange(len(regime))
    whose = asked.index[asked.language]

    def laid(values: np.ndarray) -> np.ndarray:
        return values.reshape(*shape, *values.shape[1:])

    def masked(recipe: Any) -> Any:
        return jax.tree.map(lambda leaf: laid(np.where(possible, leaf, 0.0)), recipe)

    best = loss[regime, lanes]
    point = recipes(solved.z[regime, :, lanes].T, asked.question, regime)
    recipe = masked(point)

    loss_low, loss_high, regret = best.copy(), best.copy(), np.zeros(len(best))
    recipe_low = recipe_high = recipe
    share = np.zeros((len(best), len(REGIMES)))
    if n_draws:
        own_loss = np.exp(drawn.log_loss)  # (3, P, B)
        own_regime = _first_best(own_loss)  # (P, B)
        share = np.stack([np.mean(own_regime == k, axis=1) for k in range(len(REGIMES))], axis=1)
        share[~possible] = 0.0
        z = np.take_along_axis(drawn.z, own_regime[None, None], axis=0)[0]  # (4, P, B)
        wide = jax.tree.map(lambda leaf: leaf[..., None], asked.question)
        spans = jax.tree.map(
            lambda leaf: interval(leaf, level, axis=1), recipes(z, wide, own_regime)
        )
        recipe_low, recipe_high = (
            masked(
                jax.tree.map(
                    lambda s, side=side: s[side], spans, is_leaf=lambda s: isinstance(s, tuple)
                )
            )
            for side in (0, 1)
        )
        for k in np.unique(whose):
            rows = np.flatnonzero((whose == k) & possible)
            if not len(rows):
                continue
            here = jax.tree.map(lambda leaf, rows=rows: leaf[rows], point)
            at_recipe = predict(fits.law, fits.draws[k, :n_draws], here).T  # (rows, B)
            loss_low[rows], loss_high[rows] = interval(at_recipe, level, axis=1)
            given_up = at_recipe - own_loss[:, rows].min(axis=0)
            regret[rows] = np.maximum(given_up, 0.0).mean(axis=1)

    by_regime = [
        masked(
            jax.tree.map(
                lambda leaf, k=k: np.where(np.isfinite(loss[k]), leaf, 0.0),
                recipes(solved.z[k], asked.question, k),
            )
        )
        for k in range(len(REGIMES))
    ]
    feasible = laid(possible)
    # What is proven of the best: how far it is above the lowest bound of any regime on offer.
    with np.errstate(invalid="ignore"):
        gap = np.where(possible, solved.log_loss[regime, lanes] - solved.bound.min(axis=0), np.inf)
    return Recommendations(
        languages=asked.names,
        compute=asked.compute,
        target_tokens=asked.target_tokens,
        feasible=feasible,
        recipe=recipe,
        loss=laid(best),
        regime=laid(regime),
        kkt=laid(np.where(possible, solved.kkt[regime, lanes], 0.0)),
        agreement=laid(solved.agreement[regime, lanes]),
        gap=laid(np.maximum(gap, 0.0)),
        multipliers=laid(solved.multipliers[regime, :, lanes]),
        loss_low=laid(loss_low),
        loss_high=laid(loss_high),
        recipe_low=recipe_low,
        recipe_high=recipe_high,
        regime_share=laid(share),
        regret=laid(regret),
        by_regime=jax.tree.map(lambda *leaves: np.stack(leaves, axis=-1), *by_regime),
        by_regime_loss=laid(loss.T),
        infeasible=infeasible,
        notes=tuple(ground.messages for ground in asked.grounds),
        outside=Outside([fits.scopes[k] for k in asked.index], recipe, feasible),
        n_draws=n_draws,
        level=level,
        asked=asked,
    )


def _first_best(loss: np.ndarray) -> np.ndarray:
    """Regime of the lowest loss along the first axis; of equals the first, the simpler one."""
    lowest = loss.min(axis=0)
    return np.argmax(loss <= lowest * (1 + _TIE), axis=0)
