"""How far laws are behind the best one on runs left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..._errors import M3Error
from ...comparison import Score
from ._style import COLOURS, INK, SMALL, Legend, drawable, label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LAWS = 20  # rows a panel has room for


def scores_by_law(scores: Sequence[Score]) -> Figure:
    """Mean error of each law behind the best of its language, with intervals, a panel a hold-out.

    Laws are in order of their mean over languages, the best twenty. Raises `M3Error` without
    matplotlib or without figures.
    """
    tested = [score for score in scores if score.behind is not None]
    if not tested:
        raise M3Error("scores: no law could be tested")
    holdouts = list(dict.fromkeys(score.holdout for score in tested))
    languages = tuple(dict.fromkeys(score.language for score in tested))
    laws = sorted(
        dict.fromkeys(score.law for score in tested),
        key=lambda law: np.mean([score.behind for score in tested if score.law == law]),
    )[:_MOST_LAWS]
    width, title = 1.6 + 2.7 * len(holdouts), "Held-out runs: mean error behind the best law"
    figure = new_figure(max(width, 5.0), 1.4 + 0.26 * len(laws), title)
    panels = figure.subplots(1, len(holdouts), sharey=True, squeeze=False).flat
    for holdout, axes in zip(holdouts, panels, strict=True):
        for i, language in enumerate(languages):
            known = {
                laws.index(score.law): (score.behind, score.behind_low, score.behind_high)
                for score in tested
                if (score.holdout, score.language) == (holdout, language) and score.law in laws
            }
            if not known:
                continue
            rows = np.array(list(known)) + 0.6 * ((i + 0.5) / len(languages) - 0.5)
            behind, low, high = np.array(list(known.values()), dtype=float).T
            colour = COLOURS[i % len(COLOURS)]
            axes.hlines(rows, low, high, color=colour, linewidth=1.2)
            axes.scatter(behind, rows, s=12, color=colour)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        axes.set_title(holdout, fontsize=SMALL, color=INK)
        label(axes, "nats per token [90%]", "")
    panels[0].set_yticks(range(len(laws)), laws)
    panels[0].invert_yaxis()
    key = Legend()
    for i, colour in enumerate(COLOURS[: len(languages)] if len(languages) <= len(COLOURS) else ()):
        key.line(drawable(languages, i), color=colour, marker="o")
    key.draw(figure, columns=4)
    return figure
