"""The best recipe under real constraints, for many languages, budgets and corpus sizes at once."""

from ._ask import Asked, ask
from ._guidelines import Guideline
from ._limits import Limits
from ._map import regime_map
from ._portfolio import BudgetSplit, split_budget
from ._problem import LIMITS, Question
from ._recommend import optimize
from ._regimes import Crossing, RegimeMap
from ._result import Recommendations
from ._sensitivity import Sensitivities, best_recipe, sensitivities
from ._shared import SharedModel, shared_model
from ._solve import Solved, solve
from ._worth import compute_gain, loss_given_up

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
