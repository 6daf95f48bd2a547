"""What a recommendation and its limits are worth."""

from ._sensitivity import Sensitivities, best_recipe, sensitivities
from ._worth import compute_gain, loss_given_up

__all__ = [
    "Sensitivities",
    "best_recipe",
    "compute_gain",
    "loss_given_up",
    "sensitivities",
]
