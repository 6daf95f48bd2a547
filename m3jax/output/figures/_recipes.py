"""Recommended recipes against the size of the corpus, or the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import formatting
from ..._errors import M3Error
from ...optimization import Recommendations
from ...recipe import TWO_STAGE
from ...variables import VARIABLES
from ._style import (
    INK,
    MARKERS,
    Legend,
    drawable,
    label,
    log_axis,
    new_figure,
    ordered_colours,
    padded,
    variable_tick,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Panels, from the top left.
_PANELS = ("epochs", "target_ratio", "n_params", "loss")


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
        title += f" from {formatting.count(sizes[0])} unique target tokens"
        series, across = [table], budgets[table[:, 1]]
    else:
        series = [table[table[:, 1] == j] for j in dict.fromkeys(table[:, 1].tolist())]
        across = sizes[table[:, 2]]
        if len(series) == 1:
            title += f" for {formatting.flop(budgets[table[0, 1]])} FLOP"
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
    across_name = "compute" if by_compute else "target_tokens"
    for name, axes in panels.items():
        log_axis(axes, "x", padded(across, 1.25), variable_tick(across_name), at=across)
        values = np.concatenate([side[at] for side in _sides(recommendations, name)])
        if name == "target_ratio":
            values = np.append(values, recommendations.recipe.final_ratio[at])
        if name != "loss":
            log_axis(axes, "y", padded(values, 1.2), variable_tick(name))
        below = VARIABLES[across_name].axis if name in _PANELS[2:] else ""
        beside = VARIABLES[name].axis
        label(axes, below, f"predicted {beside}" if name == "loss" else beside)
    key = Legend()
    if len(series) > 1:
        # Of many budgets every few are named: their colours are in order.
        for cells, colour in list(zip(series, colours, strict=True))[:: -(-len(series) // 8)]:
            key.line(f"{formatting.flop(budgets[cells[0, 1]])} FLOP", color=colour, linewidth=2.5)
    key.regimes(recommendations.regime[at])
    if np.any(recommendations.regime[at] == TWO_STAGE):
        style: dict[str, Any] = {"marker": MARKERS[TWO_STAGE], "fillstyle": "none"}
        key.line("final ratio of two stages", color=INK, linestyle=":", **style)
    key.draw(figure, columns=4)
    return figure


def _sides(recommendations: Recommendations, name: str) -> tuple[np.ndarray, ...]:
    """Point value and interval ends of one of the panels, (L, C, T) each."""
    if name == "loss":
        return recommendations.loss, recommendations.loss_low, recommendations.loss_high
    recipes = (recommendations.recipe, recommendations.recipe_low, recommendations.recipe_high)
    return tuple(np.asarray(getattr(recipe, name)) for recipe in recipes)
