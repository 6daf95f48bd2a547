"""Residuals of one language's runs: against each variable, and against leverage."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._errors import M3Error
from ...fitting import Diagnosis
from ...runs import RunTable
from ...variables import VARIABLES
from ._style import (
    COLOURS,
    GREY,
    INK,
    MARKERS,
    PANEL_VARIABLES,
    SMALL,
    Legend,
    drawable,
    label,
    log_axis,
    neighbour_medians,
    new_figure,
    padded,
    variable_tick,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUPS = 8  # of runs, whose medians the line joins


def residuals_by_variable(diagnosis: Diagnosis, runs: RunTable) -> Figure:
    """Residuals of one language against each variable that varies, one panel each.

    Outliers are marked, the line joins medians of neighbouring runs, and panels where `diagnose`
    found a trend say so. `runs` is the table that was diagnosed.
    Raises `M3Error` without matplotlib, or if the language was not fitted.
    """
    _require_runs(diagnosis)
    language = diagnosis.language
    recipe = runs.select((runs.language == language) & (runs.weight > 0)).recipe
    residual = 100 * np.expm1([run.residual for run in diagnosis.runs])
    rows = {run.row for run in diagnosis.outliers}
    outlying = np.array([run.row in rows for run in diagnosis.runs])
    regime = np.asarray(recipe.regime)
    messages = {trend.variable: trend.message for trend in diagnosis.trends}
    variables = (*PANEL_VARIABLES, "stage_fraction")
    names = [name for name in variables if name in messages] or ["n_params"]
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
            for group, shade in ((~outlying, COLOURS[0]), (outlying, COLOURS[1])):
                chosen = group & (regime == k)
                look: dict[str, Any] = {"color": shade, "marker": marker, "linewidths": 0}
                axes.scatter(x[chosen], residual[chosen], s=16, alpha=0.7, **look)
        axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
        axes.plot(*neighbour_medians(x, residual, _GROUPS), color=INK, linewidth=1.4)
        axes.set_ylim(-most, most)
        log_axis(axes, "x", padded(x, 1.2), variable_tick(name), at=x)
        beside = "run above the fit, %" if names.index(name) % columns == 0 else ""
        label(axes, VARIABLES[name].axis, beside)
        if messages.get(name):
            axes.set_title("trend", fontsize=SMALL, color=COLOURS[1])
    key = Legend()
    key.line("median of neighbouring runs", color=INK, linewidth=1.4)
    if outlying.any():
        key.line("outliers", color=COLOURS[1], marker="o", linestyle="")
    key.regimes(regime)
    key.draw(figure, columns=3)
    return figure


def leverage_of_runs(diagnosis: Diagnosis) -> Figure:
    """Standardised residual of each run against its leverage; outliers and deciding runs by name.

    Raises `M3Error` without matplotlib, or if the language was not fitted.
    """
    _require_runs(diagnosis)
    figure = new_figure(6.4, 4.2, f"{drawable([diagnosis.language], 0)}: runs that stand out")
    axes = figure.subplots(1, 1)
    for shade, group in (
        (GREY, diagnosis.runs),
        (COLOURS[0], diagnosis.influential),
        (COLOURS[1], diagnosis.outliers),
    ):
        x, y = [run.leverage for run in group], [run.standardised for run in group]
        axes.scatter(x, y, s=16, color=shade, linewidths=0)
    for run in {run.row: run for run in (*diagnosis.influential, *diagnosis.outliers)}.values():
        place = (run.leverage, run.standardised)
        look: dict[str, Any] = {"xytext": (4, 3), "textcoords": "offset points", "color": INK}
        axes.annotate(run.name, place, fontsize=SMALL - 1.5, parse_math=False, **look)
    axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
    label(axes, "leverage: how far a run decides its own prediction", "residual, robust sd")
    key = Legend()
    key.line("runs that decide most", color=COLOURS[0], marker="o", linestyle="")
    key.line("outliers", color=COLOURS[1], marker="o", linestyle="")
    key.draw(figure, columns=2)
    return figure


def _require_runs(diagnosis: Diagnosis) -> None:
    if not diagnosis.runs:
        verdict = diagnosis.verdicts[0]
        raise M3Error(f"language {diagnosis.language!r} was not fitted: {verdict}")
