"""Figures of fits, recommendations, regime maps and comparisons.

They need matplotlib: `pip install 'm3jax[plot]'`. Every function returns a
`matplotlib.figure.Figure` of its own and touches no global state, so that figures can be drawn in
any thread and without a display.
"""

from ._coefficients import coefficients_by_language, statistic_along
from ._comparison import comparison_figures, error_by_distance, parity_by_law, residuals_by_law
from ._files import to_png, to_svg
from ._fit_quality import fit_quality
from ._loss_surface import loss_surface
from ._plot import plot
from ._recipes import recipes_by_corpus
from ._regime_map import draw_regime_map
from ._residuals import leverage_of_runs, residuals_by_variable
from ._runs import losses_by_variable
from ._scores import scores_by_law
from ._style import log_ticks, new_figure

__all__ = [
    "coefficients_by_language",
    "comparison_figures",
    "draw_regime_map",
    "error_by_distance",
    "fit_quality",
    "leverage_of_runs",
    "log_ticks",
    "loss_surface",
    "losses_by_variable",
    "new_figure",
    "parity_by_law",
    "plot",
    "recipes_by_corpus",
    "residuals_by_law",
    "residuals_by_variable",
    "scores_by_law",
    "statistic_along",
    "to_png",
    "to_svg",
]
