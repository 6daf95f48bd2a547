"""What leaving a recommended recipe would cost, over epochs and target ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import formatting
from ..._errors import M3Error
from ...fitting import Fits
from ...optimization import Recommendations
from ...recipe import REGIMES, Recipe
from ...runs import RunTable
from ...variables import VARIABLES
from ._style import (
    COLOURS,
    INK,
    SMALL,
    Legend,
    count_tick,
    drawable,
    label,
    log_axis,
    new_figure,
    padded,
    plain_tick,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# What leaving the best recipe costs, nats: contour levels, fine near the minimum.
_LEVELS = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50])
_BEYOND = "#7A5195"


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

    corpus, budget = formatting.count(best.target_tokens), formatting.flop(best.compute)
    place = f"{corpus} target tokens, {budget} FLOP"
    title = f"{drawable(recommendations.languages, position[0])}: {place}\nbest: {regime}"
    figure = new_figure(6.4, 5.6, f"{title}, predicted loss {formatting.loss(loss)}")
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
    label(axes, *(VARIABLES[name].axis for name in axis_names))
    axes.grid(False)
    for which, name in zip("xy", axis_names, strict=True):
        log_axis(axes, which, ends[name], plain_tick)
    key.draw(figure, columns=2)
    return figure


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
