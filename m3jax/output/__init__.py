"""Results for people: tables on the terminal, HTML pages, figures."""

from ._comparison_report import verdict, write_comparison
from ._report import determined_section, write_report
from ._terminal import (
    SHORT,
    new_table,
    open_console,
    say,
    show_diagnoses,
    show_fits,
    show_map,
    show_pilot_plan,
    show_predictions,
    show_recommendations,
    show_scores,
)

__all__ = [
    "SHORT",
    "determined_section",
    "new_table",
    "open_console",
    "say",
    "show_diagnoses",
    "show_fits",
    "show_map",
    "show_pilot_plan",
    "show_predictions",
    "show_recommendations",
    "show_scores",
    "verdict",
    "write_comparison",
    "write_report",
]
