"""The losses of a run table against what was varied."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runs import RunTable
from ...variables import VARIABLES
from ._style import (
    COLOURS,
    GREY,
    MARKERS,
    PANEL_VARIABLES,
    Legend,
    drawable,
    label,
    log_axis,
    new_figure,
    padded,
    plain_tick,
    variable_tick,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def losses_by_variable(runs: RunTable) -> Figure:
    """The loss of every run against each variable that varies, one panel each.

    Colours tell languages, the first eight by name and the rest in grey; markers tell regimes.
    Raises `M3Error` without matplotlib.
    """
    values = {name: np.asarray(getattr(runs.recipe, name)) for name in PANEL_VARIABLES}
    names = [name for name, v in values.items() if np.ptp(np.log(v)) > 1e-6] or ["n_params"]
    columns = min(len(names), 3)
    high = -(-len(names) // columns)
    title = f"{runs.source}: {len(runs)} runs"
    figure = new_figure(1.2 + 2.9 * columns, 1.0 + 2.3 * high, title)
    panels = figure.subplots(high, columns, sharey=True, squeeze=False).flat
    regime, languages = np.asarray(runs.recipe.regime), runs.languages
    shades = dict(itertools.zip_longest(languages, COLOURS[: len(languages)], fillvalue=GREY))
    colours = np.array([shades[name] for name in runs.language])
    for name, axes in itertools.zip_longest(names, panels):
        if name is None:
            axes.set_visible(False)
            continue
        for k, marker in enumerate(MARKERS):
            chosen = regime == k
            look: dict[str, Any] = {"c": colours[chosen], "marker": marker, "linewidths": 0}
            axes.scatter(values[name][chosen], runs.loss[chosen], s=14, alpha=0.6, **look)
        log_axis(axes, "x", padded(values[name], 1.2), variable_tick(name), at=values[name])
        log_axis(axes, "y", padded(runs.loss, 1.03), plain_tick)
        beside = f"measured {VARIABLES['loss'].axis}" if names.index(name) % columns == 0 else ""
        label(axes, VARIABLES[name].axis, beside)
    key = Legend()
    if len(languages) > 1:
        for i, shade in enumerate(COLOURS[: len(languages)]):
            key.line(drawable(languages, i), color=shade, marker="o", linestyle="")
    if len(languages) > len(COLOURS):
        more = f"{len(languages) - len(COLOURS)} more languages"
        key.line(more, color=GREY, marker="o", linestyle="")
    key.regimes(regime)
    key.draw(figure, columns=4)
    return figure
