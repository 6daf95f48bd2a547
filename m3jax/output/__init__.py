"""Results for people: tables on the terminal; in packages of their own HTML pages and figures."""

from .terminal import (
    DETAILED,
    announce_pilot,
    show_design,
    show_diagnoses,
    show_fits,
    show_map,
    show_next_runs,
    show_pilot_plan,
    show_pilot_result,
    show_plan,
    show_predictions,
    show_recommendations,
    show_scores,
    show_shared_model,
    show_split,
    show_worth,
)

__all__ = [
    "DETAILED",
    "announce_pilot",
    "show_design",
    "show_diagnoses",
    "show_fits",
    "show_map",
    "show_next_runs",
    "show_pilot_plan",
    "show_pilot_result",
    "show_plan",
    "show_predictions",
    "show_recommendations",
    "show_scores",
    "show_shared_model",
    "show_split",
    "show_worth",
]
