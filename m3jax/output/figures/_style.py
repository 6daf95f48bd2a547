"""How figures look: colours, axes with readable ticks, and a legend beside the data.

Styles are set on each artist, never in matplotlib's global settings. Names of languages are users'
text, so nothing here is read as mathematics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import formatting
from ..._errors import M3Error
from ...recipe import REGIMES
from ...variables import RUN_VARIABLES, VARIABLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by nearly everyone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C510A", "#444444")
GREY = "#B5B5B5"
INK = "#222222"
MARKERS = ("o", "s", "^")  # by regime
SMALL, LARGE = 8.5, 10.5  # points

# What residuals are drawn against, on log axes: the first ratio may be 0.
PANEL_VARIABLES = tuple(name for name in RUN_VARIABLES if name != "first_ratio")


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise M3Error("figures need matplotlib: pip install 'm3jax[plot]'") from error


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure, inches. Raises `M3Error` without matplotlib."""
    _require_matplotlib()
    from ._shown import ShownFigure

    figure = ShownFigure(figsize=(width, height), layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=LARGE, color=INK, parse_math=False)
    return figure


def drawable(names: Sequence[str], i: int) -> str:
    """Name `i` where the figures' font can draw it, else "language 3".

    Raises `M3Error` without matplotlib.
    """
    _require_matplotlib()
    from matplotlib.font_manager import FontProperties, findfont, get_font

    glyphs = get_font(findfont(FontProperties())).get_charmap()
    return names[i] if all(ord(c) in glyphs for c in names[i]) else f"language {i + 1}"


def ordered_colours(n: int) -> list[Any]:
    """Colours for `n` things that have an order, from dark to light."""
    from matplotlib import colormaps

    return [COLOURS[0]] if n == 1 else list(colormaps["viridis"](np.linspace(0.08, 0.8, n)))


def padded(values: np.ndarray, factor: float) -> tuple[float, float]:
    """Ends of a log axis with a margin around positive `values`."""
    return float(np.min(values)) / factor, float(np.max(values)) * factor


def count_tick(x: float) -> str:
    """A tick for tokens or parameters: 16K, 1.5M."""
    text = formatting.count(x)
    digits, suffix = (text[:-1], text[-1]) if text[-1].isalpha() else (text, "")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + suffix


def flop_tick(x: float) -> str:
    """A tick for compute: 2.5e11."""
    return formatting.flop(x).replace("e+0", "e").replace("e+", "e")


def plain_tick(x: float) -> str:
    """A tick for ratios, epochs and losses."""
    return f"{x:g}"


_TICKS = {"count": count_tick, "flop": flop_tick, "ratio": plain_tick, "loss": plain_tick}


def variable_tick(name: str) -> Callable[[float], str]:
    """How ticks of a member of `variables.VARIABLES` are written."""
    return _TICKS[VARIABLES[name].kind]


def label(axes: Axes, x: str, y: str) -> None:
    """Name the axes and put them in the house style."""
    axes.set_xlabel(x, fontsize=SMALL + 0.5, color=INK)
    axes.set_ylabel(y, fontsize=SMALL + 0.5, color=INK)
    axes.tick_params(which="both", labelsize=SMALL, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)


def log_axis(
    axes: Axes,
    which: str,
    ends: tuple[float, float],
    tick: Callable[[float], str],
    *,
    at: np.ndarray | None = None,
) -> None:
    """Make axis "x" or "y" logarithmic from end to end, with three to seven readable ticks.

    `at` are the values the data has: if they are few and well apart, the ticks are there.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set(**{f"{which}scale": "log", f"{which}lim": ends})
    ticks = log_ticks(*ends)
    if at is not None:
        own = np.unique(at)
        apart = np.diff(np.log(own)) / math.log(ends[1] / ends[0])
        if len(own) <= 8 and np.all(apart > 0.09):
            ticks = own.tolist()
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda x, _: tick(x))


def log_ticks(low: float, high: float) -> list[float]:
    """At most eight round numbers from `low` to `high`, even on a log axis where that can be."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [d * 10.0**e for e in decades for d in digits if low <= d * 10.0**e <= high]
        if len(ticks) < 3:
            break
        if len(ticks) <= 7 or digits == (1,):
            return ticks[:: -(-len(ticks) // 7)]
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    if (high - low) / step > 6:
        step *= 5 if (high - low) / step > 12 else 2
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{n * step:.10g}") for n in range(first, last + 1)]


def neighbour_medians(x: np.ndarray, y: np.ndarray, groups: int) -> tuple[list[float], list[float]]:
    """Medians of x and y (n,) over up to so many groups of points that neighbour in x."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, groups + 1)))
    group = np.searchsorted(edges[1:-1], x, side="right")
    members = [group == g for g in np.unique(group)]
    return [float(np.median(x[m])) for m in members], [float(np.median(y[m])) for m in members]


class Legend:
    """A legend under the axes, where it covers no data."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._labels: list[str] = []

    def line(self, text: str, **style: Any) -> None:
        """Add a line or, with `linestyle=""`, a marker."""
        from matplotlib.lines import Line2D

        self._handles.append(Line2D([], [], **style))
        self._labels.append(text)

    def patch(self, text: str, **style: Any) -> None:
        """Add an area."""
        from matplotlib.patches import Patch

        self._handles.append(Patch(**style))
        self._labels.append(text)

    def regimes(self, regime: np.ndarray) -> None:
        """Add the markers of the regimes in an array of indices into `REGIMES`."""
        for k in np.unique(regime).tolist():
            self.line(REGIMES[k], color=INK, marker=MARKERS[k], linestyle="", markersize=5.5)

    def draw(self, figure: Figure, *, columns: int) -> None:
        """Put it into the figure."""
        legend = figure.legend(
            self._handles,
            [""] * len(self._labels),
            loc="outside lower center",
            ncols=min(columns, max(len(self._labels), 1)),
            frameon=False,
            fontsize=SMALL,
            labelcolor=INK,
        )
        # Set afterwards: a name may hold dollar signs or start with an underscore.
        for written, text in zip(legend.get_texts(), self._labels, strict=True):
            written.set_parse_math(False)
            written.set_text(text)
