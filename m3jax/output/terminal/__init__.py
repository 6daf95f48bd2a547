"""Results as text on the terminal."""

from ._fits import DETAILED, show_diagnoses, show_fits
from ._planning import show_design, show_plan
from ._recommendations import (
    show_map,
    show_predictions,
    show_recommendations,
    show_shared_model,
    show_split,
    show_worth,
)
from ._runs import announce_pilot, show_next_runs, show_pilot_plan, show_pilot_result
from ._scores import show_scores

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
