"""Figures of laws compared on runs that they have not seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._errors import M3Error
from ...comparison import HeldOut
from ...runs import RunTable
from ...variables import VARIABLES
from ._style import (
    COLOURS,
    GREY,
    INK,
    PANEL_VARIABLES,
    SMALL,
    Legend,
    drawable,
    label,
    log_axis,
    neighbour_medians,
    new_figure,
    padded,
    plain_tick,
    variable_tick,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LAWS = 12  # panels
_NAMED = 6  # laws with a colour of their own


def parity_by_law(runs: RunTable, predictions: Sequence[HeldOut], holdout: str) -> Figure:
    """Predicted against measured loss of the held-out runs, a panel a law, the best laws first.

    At most twelve laws; colours tell languages. Raises `M3Error` without matplotlib, or if no law
    predicts runs of that hold-out.
    """
    ranked = _ranked(runs, predictions, holdout)[:_MOST_LAWS]
    columns = min(len(ranked), 4)
    high = -(-len(ranked) // columns)
    title = f"Held-out runs ({holdout}): predicted against measured loss"
    figure = new_figure(1.0 + 2.3 * columns, 0.9 + 2.2 * high, title)
    panels = figure.subplots(high, columns, sharex=True, sharey=True, squeeze=False).flat
    tested = _tested_rows(runs, ranked[0])
    # A law that is far off must not shrink the others to a line.
    ends = padded(runs.loss[tested], 1.15)
    shades = dict(zip(runs.languages, itertools.cycle(COLOURS), strict=False))
    for held_out, axes in itertools.zip_longest(ranked, panels):
        if held_out is None:
            axes.set_visible(False)
            continue
        rows = _tested_rows(runs, held_out)
        predicted = np.clip(held_out.predicted[rows], *ends)
        colours = [shades[name] for name in runs.language[rows]]
        axes.scatter(runs.loss[rows], predicted, s=13, c=colours, alpha=0.75, linewidths=0)
        axes.plot(ends, ends, color=INK, linewidth=0.8, zorder=1)
        for which in ("x", "y"):
            log_axis(axes, which, ends, plain_tick)
        place = ranked.index(held_out)
        label(
            axes,
            "measured, nats per token" if place >= len(ranked) - columns else "",
            "predicted" if place % columns == 0 else "",
        )
        axes.set_title(
            f"{held_out.law.name}: {_error(runs, held_out):.2%}", fontsize=SMALL, color=INK
        )
    key = Legend()
    if len(runs.languages) > 1:
        for i, name in enumerate(runs.languages[: len(COLOURS)]):
            text = drawable(runs.languages, i)
            key.line(text, color=shades[name], marker="o", linestyle="")
    key.line("predicted as measured (outside: drawn at the edge)", color=INK, linewidth=0.8)
    key.draw(figure, columns=4)
    return figure


def residuals_by_law(runs: RunTable, predictions: Sequence[HeldOut], holdout: str) -> Figure:
    """Errors of the best laws on the held-out runs against each variable that varies there.

    Lines join medians of neighbouring runs. Raises `M3Error` as `parity_by_law` does.
    """
    ranked = _ranked(runs, predictions, holdout)[:4]
    rows = _tested_rows(runs, ranked[0])
    values = {name: np.asarray(getattr(runs.recipe, name))[rows] for name in PANEL_VARIABLES}
    names = [name for name, v in values.items() if np.ptp(np.log(v)) > 1e-6] or ["n_params"]
    columns = min(len(names), 3)
    high = -(-len(names) // columns)
    title = f"Held-out runs ({holdout}): what the best laws get wrong, and where"
    figure = new_figure(1.2 + 2.9 * columns, 1.0 + 2.3 * high, title)
    panels = figure.subplots(high, columns, sharey=True, squeeze=False).flat
    errors = [100 * (held_out.predicted[rows] / runs.loss[rows] - 1) for held_out in ranked]
    most = 1.15 * max(np.nanquantile(np.abs(e), 0.95) for e in errors)
    for name, axes in itertools.zip_longest(names, panels):
        if name is None:
            axes.set_visible(False)
            continue
        x = values[name]
        for error, colour in zip(errors, COLOURS, strict=False):
            known = np.isfinite(error)
            drawn = np.clip(error, -most, most)
            axes.scatter(x[known], drawn[known], s=11, color=colour, alpha=0.45, linewidths=0)
            axes.plot(*neighbour_medians(x[known], error[known], 5), color=colour, linewidth=1.5)
        axes.axhline(0, color=INK, linewidth=0.8, zorder=1)
        axes.set_ylim(-most, most)
        log_axis(axes, "x", padded(x, 1.2), variable_tick(name), at=x)
        beside = "predicted above measured, %" if names.index(name) % columns == 0 else ""
        label(axes, VARIABLES[name].axis, beside)
    key = Legend()
    for held_out, colour in zip(ranked, COLOURS, strict=False):
        key.line(held_out.law.name, color=colour, linewidth=1.8)
    key.draw(figure, columns=4)
    return figure


def error_by_distance(runs: RunTable, predictions: Sequence[HeldOut], holdout: str) -> Figure:
    """Error on held-out runs against how far they are from the runs that were fitted.

    The distance is `comparison.extrapolation_distance`, in decades; lines join medians of
    neighbouring runs, of the best laws in colour. Raises `M3Error` as `parity_by_law` does.
    """
    ranked = _ranked(runs, predictions, holdout)
    figure = new_figure(7.0, 4.2, f"Held-out runs ({holdout}): error against distance")
    axes = figure.subplots(1, 1)
    key, lowest, highest = Legend(), np.inf, 0.0
    for place, held_out in reversed(list(enumerate(ranked))):
        rows = _tested_rows(runs, held_out)
        error = 100 * np.abs(held_out.predicted[rows] / runs.loss[rows] - 1)
        named = place < _NAMED
        look: dict[str, Any] = {"color": COLOURS[place] if named else GREY}
        x, y = neighbour_medians(held_out.distance[rows], error, 6)
        axes.plot(x, y, linewidth=1.8 if named else 0.9, zorder=3 if named else 1, **look)
        if place < 2:
            axes.scatter(held_out.distance[rows], error, s=10, alpha=0.4, linewidths=0, **look)
        lowest, highest = min(lowest, *y), max(highest, *y)
    log_axis(axes, "y", (max(lowest, 0.01) / 2, highest * 2), plain_tick)
    label(axes, "distance to the nearest fitted run, decades", "error, % (median)")
    for held_out, colour in zip(ranked[:_NAMED], COLOURS, strict=False):
        key.line(held_out.law.name, color=colour, linewidth=1.8)
    if len(ranked) > _NAMED:
        key.line(f"{len(ranked) - _NAMED} more laws", color=GREY, linewidth=0.9)
    key.draw(figure, columns=4)
    return figure


def comparison_figures(
    runs: RunTable, predictions: Sequence[HeldOut]
) -> dict[str, tuple[str, Figure]]:
    """All figures of a comparison: name -> (caption, figure), hold-out by hold-out.

    Hold-outs that no law predicts have none. Raises `M3Error` without matplotlib.
    """
    figures = {}
    for holdout in dict.fromkeys(held_out.holdout for held_out in predictions):
        if not any(len(_tested_rows(runs, h)) for h in predictions if h.holdout == holdout):
            continue
        for name, draw, caption in (
            ("parity", parity_by_law, "predicted against measured loss, mean relative error above"),
            ("residuals", residuals_by_law, "errors of the best laws against each variable"),
            ("distance", error_by_distance, "error against distance from the fitted runs"),
        ):
            text = f"Runs held out by {holdout}: {caption}"
            figures[f"{name}_{holdout}"] = text, draw(runs, predictions, holdout)
    return figures


def _tested_rows(runs: RunTable, held_out: HeldOut) -> np.ndarray:
    """Held-out runs that have a prediction and a weight."""
    return np.flatnonzero(held_out.held & np.isfinite(held_out.predicted) & (runs.weight > 0))


def _error(runs: RunTable, held_out: HeldOut) -> float:
    rows = _tested_rows(runs, held_out)
    return float(np.mean(np.abs(held_out.predicted[rows] / runs.loss[rows] - 1)))


def _ranked(runs: RunTable, predictions: Sequence[HeldOut], holdout: str) -> list[HeldOut]:
    """The laws that predict most of the hold-out's runs, by their mean relative error."""
    known = [h for h in predictions if h.holdout == holdout and len(_tested_rows(runs, h))]
    if not known:
        raise M3Error(f"hold-out {holdout!r}: no law predicts any of its runs")
    most = max(len(_tested_rows(runs, held_out)) for held_out in known)
    return sorted(known, key=lambda o: (len(_tested_rows(runs, o)) < most, _error(runs, o)))
