"""Results for people: tables on the terminal, HTML pages, figures."""

from .html import determined_section, report_page, verdict, write_comparison, write_report
from .terminal import (
    DETAILED,
    announce_pilot,
    show_diagnoses,
    show_fits,
    show_map,
    show_next_runs,
    show_pilot_plan,
    show_pilot_result,
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
    "determined_section",
    "report_page",
    "show_diagnoses",
    "show_fits",
    "show_map",
    "show_next_runs",
    "show_pilot_plan",
    "show_pilot_result",
    "show_predictions",
    "show_recommendations",
    "show_scores",
    "show_shared_model",
    "show_split",
    "show_worth",
    "verdict",
    "write_comparison",
    "write_report",
]
