"""Figures of a fit and of what it recommends. Needs matplotlib: `pip install 'm3jax[plot]'`.

Every function returns a `matplotlib.figure.Figure` of its own and touches no global state, so that
figures can be drawn in any thread and without a display.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from ... import formatting as fmt
from ..._errors import M3Error
from ...fitting import Diagnosis, Fits
from ...optimization import Recommendations
from ...recipe import REGIMES, TWO_STAGE, Recipe
from ...runs import RunTable
from ._laws import comparison_figures, error_by_distance, parity_by_law, residuals_by_law
from ._regime_map import regime_map
from ._style import (
    COLOURS,
    GREY,
    INK,
    MARKERS,
    SMALL,
    Legend,
    count_tick,
    drawable,
    flop_tick,
    label,
    log_axis,
    new_figure,
    ordered_colours,
    padded,
    plain_tick,
    to_png,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "comparison_figures",
    "error_by_distance",
    "fit_quality",
    "loss_surface",
    "parity_by_law",
    "recipes_by_corpus",
    "regime_map",
    "residuals_by_law",
    "residuals_by_variable",
    "to_png",
]

# What leaving the best recipe costs, nats: contour levels, fine near the minimum.
_LEVELS = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
_BEYOND = "#7A5195"


def fit_quality(fits: Fits, runs: RunTable) -> Figure:
    """Predicted against measured loss, and the residuals against compute.

    Colours tell languages, the eight with most runs by name and the rest in grey; markers tell
    regimes. Runs of languages that were not fitted are left out.
    Raises `M3Error` without matplotlib, or if no run is of a fitted language.
    """
    place = {name: i for i, name in enumerate(fits.languages)}
    of_run = np.array([place.get(name, -1) for name in runs.language.tolist()], dtype=np.int64)
    if not np.any(of_run >= 0):
        raise M3Error("none of the runs is of a fitted language")
    runs, of_run = runs.select(of_run >= 0), of_run[of_run >= 0]
    with jax.enable_x64(True):
        coefficients = fits.law.from_theta(fits.theta[of_run])
        predicted = np.asarray(fits.law.loss(coefficients, runs.recipe))
    residual = 100 * np.log(runs.loss / predicted)
    compute, regime = np.asarray(runs.recipe.compute), np.asarray(runs.recipe.regime)

    present, sizes = np.unique(of_run, return_counts=True)
    named = sorted(present[np.argsort(-sizes, kind="stable")][: len(COLOURS)].tolist())
    colour = dict(zip(named, COLOURS, strict=False))
    r2 = f"{'' if len(present) == 1 else 'median '}R² {np.median(fits.r2[present]):.3f}"
    figure = new_figure(9.0, 4.6, f"Law {fits.law.name}: {len(runs)} runs, {r2}")
    left, right = figure.subplots(1, 2)
    groups = [(~np.isin(of_run, named), GREY), *((of_run == i, colour[i]) for i in named)]
    for group, shade in groups:
        for k, marker in enumerate(MARKERS):
            chosen = group & (regime == k)
            look: dict[str, Any] = {"color": shade, "marker": marker, "linewidths": 0}
            look |= {"s": 22 if len(runs) < 400 else 9, "alpha": 0.4 if shade == GREY else 0.75}
            left.scatter(runs.loss[chosen], predicted[chosen], **look)
            right.scatter(compute[chosen], residual[chosen], **look)
    ends = padded(np.concatenate([runs.loss, predicted]), 1.03)
    left.plot(ends, ends, color=INK, linewidth=0.9, zorder=1)
    right.axhline(0, color=INK, linewidth=0.9, zorder=1)
    most = 1.1 * max(float(np.abs(residual).max()), 0.1)
    right.set_ylim(-most, most)
    for which in ("x", "y"):
        log_axis(left, which, ends, plain_tick)
    log_axis(right, "x", padded(compute, 1.3), flop_tick)
    label(left, "measured loss, nats per token", "predicted loss, nats per token")
    label(right, "compute, FLOP", "residual log(measured / predicted), %")

    key = Legend()
    if len(fits.languages) > 1:
        for i in named:
            text = f"{drawable(fits.languages, i)} (R² {fits.r2[i]:.3f})"
            key.line(text, color=colour[i], marker="o", linestyle="")
    if len(present) > len(named):
        more = f"{len(present) - len(named)} more languages"
        key.line(more, color=GREY, marker="o", linestyle="")
    _explain_regimes(key, regime)
    key.draw(figure, columns=3)
    return figure


_RESIDUAL_AXES: dict[str, tuple[str, Callable[[float], str]]] = {
    "n_params": ("model size N, parameters", count_tick),
    "target_tokens": ("unique target tokens", count_tick),
    "epochs": ("epochs over the target corpus", plain_tick),
    "total_tokens": ("total tokens", count_tick),
    "target_ratio": ("target ratio r", plain_tick),
    "final_ratio": ("final ratio r_f", plain_tick),
    "stage_fraction": ("final stage, share of all tokens", plain_tick),
}


def residuals_by_variable(diagnosis: Diagnosis, runs: RunTable) -> Figure:
    """Residuals of one language against each variable that varies, one panel each.

    Outliers are marked, the line joins medians of neighbouring runs, and panels where `diagnose`
    found a trend say so. `runs` is the table that was diagnosed.
    Raises `M3Error` without matplotlib, or if the language was not fitted.
    """
    language = diagnosis.language
    if not diagnosis.runs:
        raise M3Error(f"language {language!r} was not fitted: {diagnosis.verdicts[0]}")
    recipe = runs.select((runs.language == language) & (runs.weight > 0)).recipe
    residual = 100 * np.expm1([run.residual for run in diagnosis.runs])
    rows = {run.row for run in diagnosis.outliers}
    out, regime = np.array([run.row in rows for run in diagnosis.runs]), np.asarray(recipe.regime)
    told = {trend.variable: trend.message for trend in diagnosis.trends}
    names = [name for name in _RESIDUAL_AXES if name in told] or ["n_params"]
    columns = 4 if len(names) in (4, 7, 8) else min(len(names), 3)
    title = f"{drawable([language], 0)}: {len(residual)} runs, robust sd {diagnosis.noise:.2%}"
    high = -(-len(names) // columns)
    figure = new_figure(1.2 + 2.9 * columns, 1.0 + 2.4 * high, title)
    panels = figure.subplots(high, columns, sharey=True, squeeze=False).flat
    most = 1.1 * max(float(np.abs(residual).max()), 0.1)
    for name, axes in itertools.zip_longest(names, panels):
        if name is None:
            axes.set_visible(False)
            continue
        x = np.asarray(getattr(recipe, name))
        for k, marker in enumerate(MARKERS):
            for group, shade in ((~out, COLOURS[0]), (out, COLOURS[1])):
                chosen = group & (regime == k)
                look: dict[str, Any] = {"color": shade, "marker": marker, "linewidths": 0}
                axes.scatter(x[chosen], residual[chosen], s=16, alpha=0.7, **look)
        axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
        axes.plot(*_medians(x, residual), color=INK, linewidth=1.4)
        text, tick = _RESIDUAL_AXES[name]
        axes.set_ylim(-most, most)
        log_axis(axes, "x", padded(x, 1.2), tick, at=x)
        label(axes, text, "run above the fit, %" if names.index(name) % columns == 0 else "")
        if told.get(name):
            axes.set_title("trend", fontsize=SMALL, color=COLOURS[1])
    key = Legend()
    key.line("median of neighbouring runs", color=INK, linewidth=1.4)
    if out.any():
        key.line("outliers", color=COLOURS[1], marker="o", linestyle="")
    _explain_regimes(key, regime)
    key.draw(figure, columns=3)
    return figure


def _medians(x: np.ndarray, y: np.ndarray) -> tuple[list[float], list[float]]:
    """Medians of y over up to eight groups of runs that neighbour in x."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, 9)))
    group = np.searchsorted(edges[1:-1], x, side="right")
    parts = [group == g for g in np.unique(group)]
    return [float(np.median(x[p])) for p in parts], [float(np.median(y[p])) for p in parts]


def loss_surface(
    fits: Fits,
    recommendations: Recommendations,
    position: tuple[int, int, int],
    *,
    runs: RunTable | None = None,
) -> Figure:
    """What other epochs and target ratios would lose, at one (language, budget, size) position.

    All recipes shown spend the compute that the recommended one does, so the model size follows:
    N = C·r / (6·k·D_T). Where the recommended recipe has two stages they keep its r_f / r (up to
    r_f = 1) and r_1 / r. The star is the recommended recipe, the cross its bootstrap intervals,
    hatching marks model sizes that were not run, and dots are the language's `runs`.
    Raises `M3Error` without matplotlib, or if no recipe is allowed at the position.
    """
    if not recommendations.feasible[position]:
        why = recommendations.infeasible.get(position, "no recipe is allowed")
        raise M3Error(f"position {position}: {why}")
    language, best = recommendations.languages[position[0]], recommendations.at(*position)
    loss, regime = recommendations.loss[position], REGIMES[recommendations.regime[position]]
    ranges = fits.scopes[fits.index(language)].ranges
    axis_names = ("epochs", "target_ratio")
    low, high = (
        {name: float(getattr(side, name)[position]) for name in axis_names}
        for side in (recommendations.recipe_low, recommendations.recipe_high)
    )
    ends = {
        name: padded(np.array([*ranges[name], getattr(best, name), low[name], high[name]]), 1.2)
        for name in axis_names
    }
    ends["target_ratio"] = (min(ends["target_ratio"][0], 0.5), 1.0)
    k, r = np.meshgrid(*(np.geomspace(*ends[name], 121) for name in axis_names))
    n_params = best.compute * r / (6 * k * best.target_tokens)
    grid = Recipe(
        n_params=n_params,
        target_tokens=np.full_like(k, best.target_tokens),
        epochs=k,
        target_ratio=r,
        final_ratio=np.minimum(r * (best.final_ratio / best.target_ratio), 1.0),
        first_ratio=r * (best.first_ratio / best.target_ratio),
    )
    excess = fits.predict(grid, language) - loss
    run = np.array(ranges["n_params"]) * (0.999, 1.001)
    outside = (n_params < run[0]) | (n_params > run[1])

    place = f"{fmt.count(best.target_tokens)} target tokens, {fmt.flop(best.compute)} FLOP"
    title = f"{drawable(recommendations.languages, position[0])}: {place}\nbest: {regime}"
    figure = new_figure(6.4, 5.6, f"{title}, predicted loss {fmt.loss(loss)}")
    axes, key = figure.subplots(), Legend()
    _fill(axes, k, r, excess, excess if outside.all() else excess[~outside])
    star: dict[str, Any] = {"marker": "*", "color": COLOURS[1], "markeredgecolor": "white"}
    key.line("recommended", linestyle="", markersize=13, **star)
    if recommendations.n_draws:
        for width, shade in ((3.4, "white"), (1.5, COLOURS[1])):
            line: dict[str, Any] = {"color": shade, "linewidth": width, "clip_on": False}
            axes.plot([low["epochs"], high["epochs"]], [best.target_ratio] * 2, **line)
            axes.plot([best.epochs] * 2, [low["target_ratio"], high["target_ratio"]], **line)
        level = f"{100 * recommendations.level:g}% intervals of its epochs and ratio"
        key.line(level, color=COLOURS[1], linewidth=1.5)
    axes.plot(best.epochs, best.target_ratio, markersize=17, clip_on=False, zorder=5, **star)
    if runs is not None:
        own = runs.for_language(language).recipe
        dot: dict[str, Any] = {"marker": ".", "linestyle": "", "color": INK, "alpha": 0.6}
        axes.plot(own.epochs, own.target_ratio, markersize=4, clip_on=False, **dot)
        key.line("runs", **dot)
    if outside.any():
        # Three areas: smaller than, within and larger than the models that were run.
        hatches = ["//", None, "//"]
        area = axes.contourf(k, r, n_params, run, colors="none", hatches=hatches, extend="both")
        area.set(edgecolor="#00000066", linewidth=0.0)
        text = f"model outside the sizes run, {'–'.join(map(count_tick, ranges['n_params']))}"
        key.patch(text, facecolor="none", edgecolor=INK, hatch="////", linewidth=0.3)
    if excess.min() < -1e-5:
        key.patch("predicted better, beyond a limit", facecolor=_BEYOND)
    label(axes, "epochs over the target corpus", "target ratio r, share of all tokens")
    axes.grid(False)
    for which, name in zip("xy", axis_names, strict=True):
        log_axis(axes, which, ends[name], plain_tick)
    key.draw(figure, columns=2)
    return figure


def recipes_by_corpus(recommendations: Recommendations, language: str) -> Figure:
    """The best recipe against the size of the target corpus, one colour per budget, with intervals.

    Where there is one corpus size and several budgets, against compute instead. Positions where no
    recipe is allowed are left out. Raises `M3Error` without matplotlib, for a language that the
    recommendations do not hold, or if none of its positions allows a recipe.
    """
    if language not in recommendations.languages:
        known = ", ".join(recommendations.languages)
        raise M3Error(f"no recommendations for language {language!r}; there are: {known}")
    i = recommendations.languages.index(language)
    budgets, sizes = recommendations.compute, recommendations.target_tokens[i]
    table = np.array([(i, j, t) for j in np.argsort(budgets) for t in np.argsort(sizes)])
    table = table[recommendations.feasible[tuple(table.T)]]
    if not len(table):
        raise M3Error(f"language {language!r}: no recipe is allowed anywhere")
    title = f"{drawable(recommendations.languages, i)}: the best recipe"
    by_compute = len(sizes) == 1 and len(budgets) > 1
    if by_compute:
        title += f" from {fmt.count(sizes[0])} unique target tokens"
        series, across = [table], budgets[table[:, 1]]
    else:
        series = [table[table[:, 1] == j] for j in dict.fromkeys(table[:, 1].tolist())]
        across = sizes[table[:, 2]]
        if len(series) == 1:
            title += f" for {fmt.flop(budgets[table[0, 1]])} FLOP"
    figure = new_figure(8.6, 6.4, title)
    panels = dict(zip(_PANELS, figure.subplots(2, 2, sharex=True).flat, strict=True))
    colours, drawn = ordered_colours(len(series)), recommendations.n_draws > 0
    for cells, colour in zip(series, colours, strict=True):
        at = tuple(cells.T)
        x, regime = budgets[at[1]] if by_compute else sizes[at[2]], recommendations.regime[at]
        for name, axes in panels.items():
            middle, low, high = (side[at] for side in _sides(recommendations, name))
            axes.plot(x, middle, color=colour, linewidth=1.4)
            if drawn and len(x) > 1:
                axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
            elif drawn:
                axes.vlines(x, low, high, color=colour, linewidth=1.6, alpha=0.6)
            for k, marker in enumerate(MARKERS):
                axes.plot(x[regime == k], middle[regime == k], marker, color=colour, markersize=6)
        two = regime == TWO_STAGE
        final = recommendations.recipe.final_ratio[at][two]
        ratio = recommendations.recipe.target_ratio[at][two]
        axes, hollow = panels["target_ratio"], MARKERS[TWO_STAGE]
        axes.vlines(x[two], ratio, final, color=colour, linewidth=1.0, linestyle=":")
        axes.plot(x[two], final, hollow, color=colour, fillstyle="none", markersize=6)

    at = tuple(table.T)
    tick = flop_tick if by_compute else count_tick
    for name, axes in panels.items():
        log_axis(axes, "x", padded(across, 1.25), tick, at=across)
        values = np.concatenate([side[at] for side in _sides(recommendations, name)])
        if name == "target_ratio":
            values = np.append(values, recommendations.recipe.final_ratio[at])
        if name != "loss":
            form = count_tick if name == "n_params" else plain_tick
            log_axis(axes, "y", padded(values, 1.2), form)
        below = "compute, FLOP" if by_compute else "unique target tokens"
        label(axes, below if name in ("n_params", "loss") else "", _PANELS[name])
    key = Legend()
    if len(series) > 1:
        # Of many budgets every few are named: their colours are in order.
        for cells, colour in list(zip(series, colours, strict=True))[:: -(-len(series) // 8)]:
            key.line(f"{fmt.flop(budgets[cells[0, 1]])} FLOP", color=colour, linewidth=2.5)
    _explain_regimes(key, recommendations.regime[at])
    if np.any(recommendations.regime[at] == TWO_STAGE):
        style: dict[str, Any] = {"marker": MARKERS[TWO_STAGE], "fillstyle": "none"}
        key.line("final ratio of two stages", color=INK, linestyle=":", **style)
    key.draw(figure, columns=4)
    return figure


_PANELS = {
    "epochs": "epochs over the target corpus",
    "target_ratio": "target ratio r, share of all tokens",
    "n_params": "model size N, parameters",
    "loss": "predicted loss, nats per token",
}


def _sides(recommendations: Recommendations, name: str) -> tuple[np.ndarray, ...]:
    """Point value and interval ends of one of the panels, (L, C, T) each."""
    if name == "loss":
        return recommendations.loss, recommendations.loss_low, recommendations.loss_high
    recipes = (recommendations.recipe, recommendations.recipe_low, recommendations.recipe_high)
    return tuple(np.asarray(getattr(recipe, name)) for recipe in recipes)


def _explain_regimes(key: Legend, regime: np.ndarray) -> None:
    for k in np.unique(regime).tolist():
        key.line(REGIMES[k], color=INK, marker=MARKERS[k], linestyle="", markersize=5.5)


def _fill(axes: Any, x: np.ndarray, y: np.ndarray, excess: np.ndarray, within: np.ndarray) -> None:
    """Contours of the loss given up, with levels that cover `within`, and their colour bar."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    top = int(np.searchsorted(_LEVELS, max(float(np.quantile(within, 0.97)), 0.02)))
    levels = np.append(0.0, _LEVELS[max(top - 7, 0) : top + 1])
    # A hair below 0, so that the minimum itself is not "better than the best".
    edges = np.append(-1e-5, levels[1:])
    norm = BoundaryNorm(edges, 256, extend="both")
    cmap = colormaps["YlGnBu_r"].with_extremes(under=_BEYOND)
    drawn = axes.contourf(x, y, excess, edges, norm=norm, cmap=cmap, extend="both")
    lines = levels[(levels > excess.min()) & (levels < excess.max())]
    if len(lines):
        axes.contour(x, y, excess, lines, colors="white", linewidths=0.5, alpha=0.8)
    bar = axes.figure.colorbar(drawn, ax=axes, ticks=edges, pad=0.02)
    bar.ax.set_yticklabels([plain_tick(level) for level in levels])
    bar.ax.tick_params(labelsize=SMALL, colors=INK)
    bar.set_label("predicted loss above the best, nats per token", fontsize=SMALL, color=INK)
