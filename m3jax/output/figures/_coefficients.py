"""What fits and profiles say of coefficients: intervals, and the statistic along one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from ... import formatting
from ...fitting import Fits, Profile
from ._style import COLOURS, INK, SMALL, drawable, label, log_axis, new_figure, padded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LANGUAGES = 40  # rows a panel has room for


def coefficients_by_language(fits: Fits) -> Figure:
    """Every coefficient with its interval, a panel each and a row a language, the first forty.

    Hollow points are held, not fitted. Raises `M3Error` without matplotlib or without languages.
    """
    fits.require_any()
    languages = fits.languages[:_MOST_LANGUAGES]
    high = -(-len(fits.law.names) // 4)
    level = formatting.level(fits.settings["level"])
    title = f"Law {fits.law.name}: coefficients and their {level} intervals"
    if len(fits.languages) > len(languages):
        title += f", the first {len(languages)} of {len(fits.languages)} languages"
    figure = new_figure(9.0, 0.8 + high * (0.7 + 0.17 * len(languages)), title)
    panels = figure.subplots(high, 4, sharey=True, squeeze=False).flat
    rows = np.arange(len(languages))
    named = [drawable(languages, i) for i in range(len(languages))]
    values = [fits.coefficients(language) for language in languages]
    spans = [fits.intervals(language) for language in languages]
    for coefficient, axes in itertools.zip_longest(fits.law.coefficients, panels):
        if coefficient is None:
            axes.set_visible(False)
            continue
        name = coefficient.name
        held = fits.frozen[: len(languages), fits.law.names.index(name)]
        at = np.array([of[name] for of in values])
        low, high_ends = np.array([of[name] for of in spans]).T
        axes.hlines(rows, low, high_ends, color=COLOURS[0], linewidth=1.6)
        axes.scatter(
            at, rows, s=16, facecolors=np.where(held, "white", COLOURS[0]), edgecolors=COLOURS[0]
        )
        if coefficient.log:
            ends = padded(np.array([*low, *high_ends]), 1.3)
            log_axis(axes, "x", ends, "{:.3g}".format)
            axes.set_xticks(axes.get_xticks()[:: -(-len(axes.get_xticks()) // 3)])  # narrow panels
        axes.set_title(name, fontsize=SMALL, color=INK)
        axes.set_yticks(rows, named, parse_math=False)
        label(axes, "", "")
    panels[0].invert_yaxis()
    return figure


def statistic_along(profile: Profile) -> Figure:
    """The root of the deviance along one coefficient, and the interval it gives.

    Raises `M3Error` without matplotlib.
    """
    title = f"Profile of {profile.coefficient}, {drawable([profile.language], 0)}"
    figure = new_figure(6.0, 3.8, title)
    axes = figure.subplots(1, 1)
    axes.axvspan(profile.low, profile.high, color=COLOURS[0], alpha=0.12, linewidth=0)
    axes.plot(profile.values, np.sqrt(profile.statistic), color=COLOURS[0], marker=".")
    if profile.values[0] > 0 and profile.values[-1] > 20 * profile.values[0]:
        axes.set_xscale("log")
    axes.set_xlim(profile.values[0], profile.values[-1])
    axes.set_title(profile.summary(), fontsize=SMALL, color=INK, parse_math=False)
    label(axes, profile.coefficient, "√ deviance (Student's t)")
    return figure
