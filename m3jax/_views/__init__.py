"""How results show themselves: in a line, in a notebook, as a figure, as arrays with names."""

from ._arrays import require_xarray
from ._views import Views, drawn

__all__ = ["Views", "drawn", "require_xarray"]
