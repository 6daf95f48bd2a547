"""A result in a line, in a notebook and as a figure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_ROWS = 20  # of a notebook's table


class Views(ABC):
    """A result that shows itself by its own `summary()` and `to_frame()`."""

    @abstractmethod
    def summary(self) -> str:
        """What this is, in a line."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """This as a DataFrame."""

    def brief_frame(self) -> pd.DataFrame:
        """The part of `to_frame()` that a notebook shows."""
        return self.to_frame().head(_ROWS)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.summary()}>"

    def _repr_html_(self) -> str:
        """For notebooks: the line, and a small table."""
        frame = self.brief_frame()
        html: str = frame.to_html(
            index=frame.index.name is not None, float_format="{:.4g}".format, na_rep="–"
        )
        return f"<p>{escape(self.summary())}</p>{html}"


def drawn(result: Views, *data: Any) -> Figure:
    """The figure that `output.figures.plot` makes of a result and of what else it is drawn from.

    Figures know the results and not the other way round. So a result asks for its figure by name,
    here and nowhere else, when it is to be drawn.
    """
    figure: Figure = import_module("m3jax.output.figures").plot(result, *data)
    return figure
