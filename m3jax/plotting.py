"""Figures, under the name they were first published by; see `output.figures`."""

from .output.figures import (
    coefficients_by_language,
    comparison_figures,
    error_by_distance,
    fit_quality,
    leverage_of_runs,
    loss_surface,
    losses_by_variable,
    parity_by_law,
    plot,
    recipes_by_corpus,
    residuals_by_law,
    residuals_by_variable,
    scores_by_law,
    statistic_along,
    to_png,
    to_svg,
)
from .output.figures import draw_regime_map as regime_map

__all__ = [
    "coefficients_by_language",
    "comparison_figures",
    "error_by_distance",
    "fit_quality",
    "leverage_of_runs",
    "loss_surface",
    "losses_by_variable",
    "parity_by_law",
    "plot",
    "recipes_by_corpus",
    "regime_map",
    "residuals_by_law",
    "residuals_by_variable",
    "scores_by_law",
    "statistic_along",
    "to_png",
    "to_svg",
]
