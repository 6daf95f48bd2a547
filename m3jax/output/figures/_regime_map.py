"""The figure of a regime map: regions and thresholds, and the collapse of the best epochs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import formatting
from ...optimization import Crossing, Guideline, RegimeMap
from ...recipe import REGIMES
from ...variables import VARIABLES
from ._style import (
    GREY,
    INK,
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
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_REGIONS = ("#9ECAE9", "#F6C28B", "#A8D8B9")  # by regime
_FINE = 400  # pixels of the areas
_EDGE = {(2, 0): "-", (1, 0): "--", (2, 1): "-."}  # line style by regimes, in any order


def draw_regime_map(regime_map: RegimeMap) -> Figure:
    """Left, which regime is best over compute and corpus size; right, the best epochs.

    Lines are thresholds with bootstrap intervals, the dotted one is D*(C). On the right there is a
    curve for each budget against D_T / D*(C), dotted where a bound holds it or it leaves the map.
    Raises `M3Error` without matplotlib.
    """
    figure = new_figure(10.4, 5.2, f"{drawable([regime_map.language], 0)}: best regimes")
    left, right = figure.subplots(1, 2)
    key = Legend()
    _regions(left, regime_map, key)
    _edges(left, regime_map, key)
    tokens, compute = regime_map.target_tokens, regime_map.compute
    optimal = regime_map.optimal_tokens
    if ((optimal >= tokens[0]) & (optimal <= tokens[-1])).any():
        left.plot(compute, optimal, color=INK, linewidth=1.2, linestyle=":")
        key.line("D*(C), one monolingual epoch", color=INK, linewidth=1.2, linestyle=":")
    log_axis(left, "x", (compute[0], compute[-1]), flop_tick)
    log_axis(left, "y", (tokens[0], tokens[-1]), count_tick)
    label(left, VARIABLES["compute"].axis, VARIABLES["target_tokens"].axis)
    left.grid(False)
    _titled(left, regime_map.guidelines[0])
    _curves(right, regime_map, key)
    _titled(right, regime_map.guidelines[1])
    key.draw(figure, columns=4)
    return figure


def _titled(axes: Axes, guideline: Guideline) -> None:
    text = "\n".join(textwrap.wrap(f"{guideline.name}: {guideline.verdict}", 60))
    axes.set_title(text, fontsize=SMALL + 0.5, color=INK, parse_math=False)


def _regions(axes: Axes, regime_map: RegimeMap, key: Legend) -> None:
    """Areas of the regimes: exact at the budgets, and between them edges run straight."""
    from matplotlib.colors import ListedColormap

    low_end, high_end = np.log(regime_map.target_tokens[[0, -1]])
    y = np.linspace(low_end, high_end, _FINE)
    columns = np.stack(
        [_distance_outside(regime_map, j, y) for j in range(len(regime_map.compute))]
    )
    at = np.linspace(0, len(columns) - 1, _FINE)
    low = np.minimum(at.astype(int), len(columns) - 2)
    weight = (at - low)[:, None, None]
    area = np.argmin((1 - weight) * columns[low] + weight * columns[low + 1], axis=1)
    x = np.geomspace(regime_map.compute[0], regime_map.compute[-1], _FINE)
    colours = [*_REGIONS, GREY]
    axes.pcolormesh(
        x, np.exp(y), area.T, cmap=ListedColormap(colours), vmin=-0.5, vmax=3.5, shading="nearest"
    )
    for k, name in enumerate((*REGIMES, "no recipe allowed")):
        if (regime_map.regime % len(colours) == k).any():
            key.patch(name, facecolor=colours[k])


def _distance_outside(regime_map: RegimeMap, j: int, y: np.ndarray) -> np.ndarray:
    """How far each log size is outside of each area at a budget, negative inside, (4, Y)."""
    size, regime = np.log(regime_map.target_tokens), regime_map.regime[j]
    own = [c for c in regime_map.crossings if c.compute == regime_map.compute[j]]
    breaks = [(np.log(c.target_tokens), REGIMES.index(c.above)) for c in own]
    for t in np.flatnonzero((regime[:-1] < 0) != (regime[1:] < 0)):
        breaks.append(((size[t] + size[t + 1]) / 2, regime[t + 1]))
    breaks.sort()
    edges = np.array([-np.inf, *(b[0] for b in breaks), np.inf])
    areas = np.array([regime[0], *(b[1] for b in breaks)]) % 4
    # Depths are capped, so that an area that only one of two budgets has ends between them.
    cap = 0.1 * (y[-1] - y[0])
    far = np.full((4, len(y)), cap)
    for k, start, stop in zip(areas, edges[:-1], edges[1:], strict=True):
        far[k] = np.minimum(far[k], np.maximum(start - y, y - stop))
    return np.maximum(far, -cap)


def _edges(axes: Axes, regime_map: RegimeMap, key: Legend) -> None:
    """Threshold lines, with intervals where there are draws."""
    kinds: dict[tuple[int, int], list[Crossing]] = {}
    for c in regime_map.crossings:
        pair = sorted((REGIMES.index(c.below), REGIMES.index(c.above)), reverse=True)
        kinds.setdefault((pair[0], pair[1]), []).append(c)
    whiskers = False
    for kind, edge in kinds.items():
        x = [c.compute for c in edge]
        # Where one budget has several, a line would jump between them.
        single = len(set(x)) == len(x)
        style: dict[str, Any] = {"color": INK, "linewidth": 1.6}
        style |= {"linestyle": _EDGE[kind] if single else "", "marker": "." if len(x) < 30 else ""}
        axes.plot(x, [c.target_tokens for c in edge], **style)
        for c in edge:
            if c.low is not None and c.high is not None:
                axes.vlines(c.compute, c.low, c.high, color=INK, linewidth=1.0, alpha=0.6)
                whiskers = True
        names = [REGIMES[k].replace("single-stage", "single") for k in kind]
        key.line(" | ".join(names), **style)
    if whiskers:
        key.line("interval over draws", color=INK, linewidth=1.0, alpha=0.6)


def _curves(axes: Axes, regime_map: RegimeMap, key: Legend) -> None:
    """Best epochs against D_T / D*(C), a colour for each budget."""
    x = regime_map.relative_tokens
    colours = ordered_colours(len(regime_map.compute))
    shown = regime_map.free if regime_map.free.any() else np.ones_like(regime_map.free)
    for epochs, free, colour in zip(regime_map.epochs, regime_map.free, colours, strict=True):
        axes.plot(x, epochs, color=colour, linewidth=0.9, linestyle=":")
        axes.plot(x, np.where(free, epochs, np.nan), color=colour, linewidth=1.6)
    wide = x[shown.any(axis=0)]
    log_axis(axes, "x", padded(wide, 1.1), plain_tick)
    log_axis(axes, "y", padded(regime_map.epochs[shown], 1.2), plain_tick)
    label(axes, "unique target tokens over D*(C)", "best epochs over the target corpus")
    for j in np.unique(np.linspace(0, len(colours) - 1, 3).astype(int)):
        text = f"{formatting.flop(regime_map.compute[j])} FLOP"
        key.line(text, color=colours[j], linewidth=2.5)
    key.line("held by a bound, or off the map", color=INK, linewidth=0.9, linestyle=":")
