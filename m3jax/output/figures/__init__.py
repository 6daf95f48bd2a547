"""Figures of fits, recommendations, regime maps and comparisons.

They need matplotlib: `pip install 'm3jax[plot]'`. Every function returns a
`matplotlib.figure.Figure` of its own and touches no global state, so that figures can be drawn in
any thread and without a display.
"""

from ._comparison import comparison_figures, error_by_distance, parity_by_law, residuals_by_law
from ._fit_quality import fit_quality
from ._loss_surface import loss_surface
from ._recipes import recipes_by_corpus
from ._regime_map import draw_regime_map
from ._residuals import residuals_by_variable
from ._style import log_ticks, new_figure, to_png, to_svg

__all__ = [
    "comparison_figures",
    "draw_regime_map",
    "error_by_distance",
    "fit_quality",
    "log_ticks",
    "loss_surface",
    "new_figure",
    "parity_by_law",
    "recipes_by_corpus",
    "residuals_by_law",
    "residuals_by_variable",
    "to_png",
    "to_svg",
]
