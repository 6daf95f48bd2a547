"""Figures, under the name they were first published by; see `output.figures`."""

from .output.figures import (
    comparison_figures,
    error_by_distance,
    fit_quality,
    loss_surface,
    parity_by_law,
    recipes_by_corpus,
    residuals_by_law,
    residuals_by_variable,
    to_png,
    to_svg,
)
from .output.figures import draw_regime_map as regime_map

__all__ = [
    "comparison_figures",
    "error_by_distance",
    "fit_quality",
    "loss_surface",
    "parity_by_law",
    "recipes_by_corpus",
    "regime_map",
    "residuals_by_law",
    "residuals_by_variable",
    "to_png",
    "to_svg",
]
