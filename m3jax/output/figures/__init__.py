"""Figures of fits, recommendations, regime maps and comparisons (needs matplotlib)."""

from ._fit import (
    comparison_figures,
    error_by_distance,
    fit_quality,
    loss_surface,
    parity_by_law,
    recipes_by_corpus,
    regime_map,
    residuals_by_law,
    residuals_by_variable,
    to_png,
)
from ._style import log_ticks, new_figure

__all__ = [
    "comparison_figures",
    "error_by_distance",
    "fit_quality",
    "log_ticks",
    "loss_surface",
    "new_figure",
    "parity_by_law",
    "recipes_by_corpus",
    "regime_map",
    "residuals_by_law",
    "residuals_by_variable",
    "to_png",
]
