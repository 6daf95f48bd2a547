"""What a recommendation and its limits are worth."""

from ._alternatives import compute_gain, loss_given_up
from ._best_recipe import BestRecipe, best_recipe
from ._records import worth_records
from ._sensitivity import Sensitivities, sensitivities
from ._sway import Sway, swaying_runs

__all__ = [
    "BestRecipe",
    "Sensitivities",
    "Sway",
    "best_recipe",
    "compute_gain",
    "loss_given_up",
    "sensitivities",
    "swaying_runs",
    "worth_records",
]
