"""The best recipe under real constraints, for many languages, budgets and corpus sizes at once."""

from ._ask import Asked, ask
from ._limits import Limits
from ._problem import LIMITS, Question
from ._recommend import optimize
from ._result import Recommendations
from ._sensitivity import Sensitivities, best_recipe, sensitivities
from ._solve import Solved, solve
from ._worth import compute_gain, loss_given_up

__all__ = [
    "LIMITS",
    "Asked",
    "Limits",
    "Question",
    "Recommendations",
    "Sensitivities",
    "Solved",
    "ask",
    "best_recipe",
    "compute_gain",
    "loss_given_up",
    "optimize",
    "sensitivities",
    "solve",
]
