"""The best recipe under real constraints, for many languages, budgets and corpus sizes at once."""

from ._recommend import optimize
from ._result import Recommendations
from .many_languages import BudgetSplit, SharedModel, shared_model, split_budget
from .question import Asked, Limits, ask
from .regime_map import Crossing, Guideline, RegimeMap, regime_map
from .solvers import LIMITS, Question, Solved, solve
from .worth import Sensitivities, best_recipe, compute_gain, loss_given_up, sensitivities

__all__ = [
    "LIMITS",
    "Asked",
    "BudgetSplit",
    "Crossing",
    "Guideline",
    "Limits",
    "Question",
    "Recommendations",
    "RegimeMap",
    "Sensitivities",
    "SharedModel",
    "Solved",
    "ask",
    "best_recipe",
    "compute_gain",
    "loss_given_up",
    "optimize",
    "regime_map",
    "sensitivities",
    "shared_model",
    "solve",
    "split_budget",
]
