"""The best recipe under real constraints, for many languages, budgets and corpus sizes at once."""

from ._recommend import optimize
from ._result import Position, Recommendations
from .many_languages import (
    BudgetSplit,
    SharedModel,
    SourceChoice,
    best_sources,
    shared_model,
    split_budget,
)
from .question import NO_STANDING, REACH, Distance, Questions, Standing, ask, covered_by
from .regime_map import Crossing, Guideline, RegimeMap, map_regimes
from .solvers import LIMITS, Question, RegimeOptima, best_regime, solve
from .worth import (
    BestRecipe,
    Sensitivities,
    Sway,
    best_recipe,
    compute_gain,
    loss_given_up,
    sensitivities,
    swaying_runs,
    worth_records,
)

__all__ = [
    "LIMITS",
    "NO_STANDING",
    "REACH",
    "BestRecipe",
    "BudgetSplit",
    "Crossing",
    "Distance",
    "Guideline",
    "Position",
    "Question",
    "Questions",
    "Recommendations",
    "RegimeMap",
    "RegimeOptima",
    "Sensitivities",
    "SharedModel",
    "SourceChoice",
    "Standing",
    "Sway",
    "ask",
    "best_recipe",
    "best_regime",
    "best_sources",
    "compute_gain",
    "covered_by",
    "loss_given_up",
    "map_regimes",
    "optimize",
    "sensitivities",
    "shared_model",
    "solve",
    "split_budget",
    "swaying_runs",
    "worth_records",
]
