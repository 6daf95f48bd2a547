"""Predicted against measured loss of a fit, and its residuals against compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..._errors import M3Error
from ...computing import in_double_precision
from ...fitting import Fits
from ...runs import RunTable
from ...variables import VARIABLES
from ._style import (
    COLOURS,
    GREY,
    INK,
    MARKERS,
    Legend,
    drawable,
    flop_tick,
    label,
    log_axis,
    new_figure,
    padded,
    plain_tick,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    with in_double_precision():
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
    loss = VARIABLES["loss"].axis
    label(left, f"measured {loss}", f"predicted {loss}")
    label(right, VARIABLES["compute"].axis, "residual log(measured / predicted), %")

    key = Legend()
    if len(fits.languages) > 1:
        for i in named:
            text = f"{drawable(fits.languages, i)} (R² {fits.r2[i]:.3f})"
            key.line(text, color=colour[i], marker="o", linestyle="")
    if len(present) > len(named):
        more = f"{len(present) - len(named)} more languages"
        key.line(more, color=GREY, marker="o", linestyle="")
    key.regimes(regime)
    key.draw(figure, columns=3)
    return figure
