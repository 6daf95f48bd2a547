"""`optimize`: the best recipe for every language, budget and corpus size, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from .._progress import Progress, silent
from ..fitting import Fits, Scope, interval, predict
from ..recipe import REGIMES, Recipe
from ._problem import VARIABLES, Bounds, Limits, Problem, broken, build, limits_for
from ._result import Position, Recommendations
from ._solver import Optimum, solve, solve_draws

_TIE = 1e-9  # relative loss below which the simpler regime is taken
_CHUNK = 16_384  # problems × regimes × draws in one compiled call


def optimize(
    fits: Fits,
    *,
    compute: npt.ArrayLike,
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    languages: Sequence[str] | None = None,
    n_params: Bounds | None = None,
    epochs: Bounds | None = None,
    target_ratio: Bounds | None = None,
    final_ratio: Bounds | None = None,
    stage_fraction: Bounds | None = None,
    first_share: float | None = None,
    max_total_tokens: float | None = None,
    max_source_tokens: float | None = None,
    extrapolate: bool = False,
    draws: int = 100,
    level: float = 0.9,
    progress: Progress | None = None,
) -> Recommendations:
    """The recipe with the lowest predicted loss under the limits, for all combinations at once.

    Searches model size, epochs, target ratio and final-stage ratio in log-variables, separately in
    each regime, and solves again under bootstrap draws of the coefficients for intervals.

    Args:
        fits: fitted laws.
        compute: budget(s) 6·N·D in FLOP, a number or (C,).
        target_tokens: unique target tokens, a number, (T,), or language -> either.
        languages: which of the fitted languages; default all.
        n_params, epochs, target_ratio, final_ratio: (low, high) bounds. By default epochs and
            ratios stay within what was run and the model is at least the smallest that was run.
        stage_fraction: (low, high) of the final stage's share of tokens; default what was run.
        first_share: r_1 / r in two-stage recipes, 0 <= first_share < 1; default what was typical.
        max_total_tokens: cap on all training tokens.
        max_source_tokens: unique source tokens there are; they are read at most once.
        extrapolate: vary even what the runs say nothing about.
        draws: bootstrap draws to use, at most those in `fits`.
        level: of the intervals.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on options outside their range, unknown languages, bounds that exclude the only
    value the runs tell about, and where no combination allows any recipe.
    """
    names = tuple(fits.languages if languages is None else languages)
    fits.require_any()
    if not names:
        raise M3Error("languages: expected at least one")
    index = [fits.index(name) for name in names]
    budgets = _amounts("compute", compute)
    sizes = _sizes(target_tokens, names)
    bounds = {
        name: _bounds(name, value, 1.0 if "ratio" in name else np.inf)
        for name, value in zip(
            VARIABLES, (n_params, epochs, target_ratio, final_ratio), strict=True
        )
        if value is not None
    }
    if stage_fraction is not None:
        stage_fraction = _bounds("stage_fraction", stage_fraction, 1.0)
    if first_share is not None and not 0 <= first_share < 1:
        raise M3Error(f"first_share: expected 0 <= first_share < 1, got {first_share}")
    caps = [
        np.inf if cap is None else float(_amounts(name, cap)[0])
        for name, cap in (
            ("max_total_tokens", max_total_tokens),
            ("max_source_tokens", max_source_tokens),
        )
    ]
    if draws < 0 or not 0 < level < 1:
        raise M3Error(f"expected draws >= 0 and 0 < level < 1, got {draws} and {level}")

    limits = [
        limits_for(
            name,
            fits.law,
            fits.scopes[i],
            bounds=bounds,
            stage_fraction=stage_fraction,
            first_share=first_share,
            total_tokens=caps[0],
            source_tokens=caps[1],
            extrapolate=extrapolate,
        )
        for name, i in zip(names, index, strict=True)
    ]
    with jax.enable_x64(True):
        where, problems, infeasible = _problems(names, limits, budgets, sizes)
        optima, drawn = _solve(fits, index, where, problems, draws, progress)
        return _collect(
            fits, index, limits, budgets, sizes, where, optima, drawn, infeasible, level
        )


def _amounts(name: str, value: npt.ArrayLike) -> np.ndarray:
    """One or more positive finite numbers as (n,) float64."""
    try:
        array = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise M3Error(f"{name}: expected positive numbers, got {value!r}") from error
    if array.ndim != 1 or not array.size or not np.all(np.isfinite(array) & (array > 0)):
        raise M3Error(f"{name}: expected positive finite numbers, got {value!r}")
    return array


def _sizes(
    target_tokens: npt.ArrayLike | Mapping[str, npt.ArrayLike], names: Sequence[str]
) -> np.ndarray:
    if not isinstance(target_tokens, Mapping):
        return np.tile(_amounts("target_tokens", target_tokens), (len(names), 1))
    missing = [name for name in names if name not in target_tokens]
    if missing:
        raise M3Error(f"target_tokens: no entry for language {missing[0]!r}")
    rows = [_amounts(f"target_tokens of {name!r}", target_tokens[name]) for name in names]
    if len({len(row) for row in rows}) > 1:
        raise M3Error("target_tokens: expected as many sizes for every language")
    return np.stack(rows)


def _bounds(name: str, value: Bounds, most: float) -> Bounds:
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError) as error:
        raise M3Error(f"{name}: expected a pair (low, high), got {value!r}") from error
    if not (0 < low <= high < np.inf and high <= most):
        upper = "" if most == np.inf else f" <= {most:g}"
        raise M3Error(f"{name}: expected 0 < low <= high{upper}, got {low:g} and {high:g}")
    return low, high


def _problems(
    names: Sequence[str], limits: Sequence[Limits], budgets: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, list[Problem], dict[Position, str]]:
    """All solvable regimes of all problems, their places (P, 4), and why others have none."""
    where, problems, infeasible = [], [], {}
    for i, j, t in np.ndindex(len(names), len(budgets), sizes.shape[1]):
        reason = "the bounds leave no regime: no target_ratio is allowed"
        solvable = False
        for regime in reversed(limits[i].regimes):
            problem = build(limits[i], float(budgets[j]), float(sizes[i, t]), regime)
            why = broken(limits[i], problem)
            if why is None:
                where.append((i, j, t, regime))
                problems.append(problem)
                solvable = True
            else:
                reason = why  # the last to be tried is the simplest, and the least demanding
        if not solvable:
            infeasible[i, j, t] = reason
    if not problems:
        (i, j, t), reason = next(iter(infeasible.items()))
        raise M3Error(
            f"language {names[i]!r}, compute {budgets[j]:.4g} FLOP, target_tokens"
            f" {sizes[i, t]:.4g}: no recipe is allowed: {reason}"
        )
    return np.array(where), problems, infeasible


def _solve(
    fits: Fits,
    index: Sequence[int],
    where: np.ndarray,
    problems: Sequence[Problem],
    draws: int,
    progress: Progress | None,
) -> tuple[Optimum, Optimum]:
    """Optima of all problems (P,), and under each draw (P, B)."""
    report = progress or silent
    language = np.asarray(index)[where[:, 0]]
    count = min(draws, fits.draws.shape[1])
    size = max(16, 1 << (max(1, _CHUNK // max(count, 16)).bit_length() - 1))
    points: list[Optimum] = []
    drawn: list[Optimum] = []
    for start in range(0, len(problems), size):
        report("optimizing", start, len(problems))
        rows = np.arange(start, min(start + size, len(problems)))
        # Repeat the last up to a power of two, 16 at least, so that few shapes are ever compiled.
        full = np.minimum(np.arange(1 << max(4, (len(rows) - 1).bit_length())) + start, rows[-1])
        batch = jax.tree.map(lambda *leaves: np.stack(leaves), *[problems[i] for i in full])
        optimum = solve(fits.law, fits.theta[language[full]], batch)
        each = solve_draws(fits.law, fits.draws[language[full], :count], batch, optimum.u)
        for found, into in ((optimum, points), (each, drawn)):
            keep = slice(0, len(rows))
            into.append(jax.tree.map(lambda leaf, k=keep: np.asarray(leaf)[k], found))
    report("optimizing", len(problems), len(problems))
    together = [jax.tree.map(lambda *s: np.concatenate(s), *part) for part in (points, drawn)]
    return together[0], together[1]


def _collect(
    fits: Fits,
    index: Sequence[int],
    limits: Sequence[Limits],
    budgets: np.ndarray,
    sizes: np.ndarray,
    where: np.ndarray,
    optimum: Optimum,
    drawn: Optimum,
    infeasible: Mapping[Position, str],
    level: float,
) -> Recommendations:
    """Lay the solved regimes out on (L, C, T, 3) and take the best of each."""
    shape = (len(index), len(budgets), sizes.shape[1])
    n_draws = drawn.log_loss.shape[1]
    place = tuple(where.T)

    def spread(values: np.ndarray, fill: float) -> np.ndarray:
        out = np.full((*shape, len(REGIMES), *values.shape[1:]), fill)
        out[place] = values
        return out

    loss = spread(np.exp(optimum.log_loss), np.inf)
    regime = _first_best(loss, axis=3)

    def pick(values: np.ndarray, fill: float = 0.0) -> np.ndarray:
        laid = spread(values, fill)
        choice = regime.reshape(*shape, 1, *[1] * (values.ndim - 1))
        return np.take_along_axis(laid, choice, axis=3)[:, :, :, 0]

    recipe = jax.tree.map(pick, optimum.recipe)
    feasible = np.isfinite(loss.min(axis=3))
    best = pick(np.exp(optimum.log_loss), np.inf)

    loss_low, loss_high, regret = best.copy(), best.copy(), np.zeros(shape)
    recipe_low, recipe_high = (jax.tree.map(np.copy, recipe) for _ in range(2))
    share = np.zeros((*shape, len(REGIMES)))
    if n_draws:
        own_loss = spread(np.exp(drawn.log_loss), np.inf)  # (L, C, T, 3, B)
        own_regime = _first_best(own_loss, axis=3)
        share = np.stack([np.mean(own_regime == k, axis=-1) for k in range(len(REGIMES))], axis=-1)
        share[~feasible] = 0.0

        def own(values: np.ndarray) -> np.ndarray:
            laid = spread(values, 0.0)
            return np.take_along_axis(laid, own_regime[:, :, :, None], axis=3)[:, :, :, 0]

        spans = jax.tree.map(lambda values: interval(own(values), level, axis=-1), drawn.recipe)
        recipe_low, recipe_high = (
            jax.tree.map(
                lambda s, side=side: s[side], spans, is_leaf=lambda s: isinstance(s, tuple)
            )
            for side in (0, 1)
        )
        for i, k in enumerate(index):
            here = jax.tree.map(lambda leaf, i=i: np.where(feasible[i], leaf[i], 1.0), recipe)
            at_recipe = predict(fits.law, fits.draws[k, :n_draws], here)
            at_recipe = np.moveaxis(at_recipe, 0, -1)  # (C, T, B)
            loss_low[i], loss_high[i] = interval(at_recipe, level, axis=-1)
            given_up = at_recipe - np.where(feasible[i, ..., None], own_loss[i].min(axis=2), 0.0)
            regret[i] = np.maximum(given_up, 0.0).mean(axis=-1)
        for array, empty in ((loss_low, np.inf), (loss_high, np.inf), (regret, 0.0)):
            array[~feasible] = empty
    return Recommendations(
        languages=tuple(fits.languages[k] for k in index),
        compute=budgets,
        target_tokens=sizes,
        feasible=feasible,
        recipe=recipe,
        loss=best,
        regime=regime,
        kkt=pick(optimum.kkt),
        agreement=pick(optimum.agreement),
        multipliers=pick(optimum.multipliers),
        loss_low=loss_low,
        loss_high=loss_high,
        recipe_low=recipe_low,
        recipe_high=recipe_high,
        regime_share=share,
        regret=regret,
        by_regime=jax.tree.map(lambda values: spread(values, 0.0), optimum.recipe),
        by_regime_loss=loss,
        infeasible=infeasible,
        notes=tuple(limit.messages for limit in limits),
        outside=_outside([fits.scopes[k] for k in index], recipe, feasible),
        n_draws=n_draws,
        level=level,
    )


def _first_best(loss: np.ndarray, axis: int) -> np.ndarray:
    """Index of the lowest loss along `axis`; of equals the first, which is the simpler regime."""
    lowest = loss.min(axis=axis, keepdims=True)
    return np.argmax(loss <= lowest * (1 + _TIE), axis=axis)


def _outside(
    scopes: Sequence[Scope], recipe: Recipe, feasible: np.ndarray
) -> dict[Position, tuple[str, ...]]:
    """Where a recipe leaves the ground its language's runs cover, in words."""
    found: dict[Position, tuple[str, ...]] = {}
    masked = jax.tree.map(lambda leaf: np.where(feasible, leaf, 1.0), recipe)
    for variable in ("n_params", "target_tokens", "epochs", "total_tokens", "target_ratio"):
        values = np.asarray(getattr(masked, variable))
        for i, j, t in np.argwhere(feasible).tolist():
            low, high = scopes[i].ranges[variable]
            value = float(values[i, j, t])
            if value > high * 1.001 or value < low / 1.001:
                factor = value / high if value > high else low / value
                side = "above" if value > high else "below"
                text = f"{variable} {factor:.3g}× {side} the runs"
                found[i, j, t] = (*found.get((i, j, t), ()), text)
    return found
