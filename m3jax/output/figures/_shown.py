"""Figures that notebooks show as they are, without pyplot; imported with matplotlib."""

from __future__ import annotations

from matplotlib.figure import Figure

from ._files import to_png


class ShownFigure(Figure):
    """A figure that is its own picture where it is the last thing in a cell."""

    def _repr_png_(self) -> bytes:
        return to_png(self, dpi=100)
