"""Solvers of the recipe problem, and the proof of their answers."""

from ._augmented_lagrangian import Objective, Task
from ._batched import screened
from ._best_regime import REGIME_TIE, best_regime
from ._branch_and_bound import plane_above_text, secant
from ._faces import build
from ._interior_point import follow
from ._limits import AT, LIMITS, NAMED, SAME, concerns
from ._log_sum_exp import (
    has_terms,
    is_posynomial,
    log_repetition_derivatives,
    log_text_derivatives,
    value,
)
from ._question import Question
from ._recipe_problem import RecipeProblem
from ._solve import Solved, objective_of, recipes, solve

__all__ = [
    "AT",
    "LIMITS",
    "NAMED",
    "REGIME_TIE",
    "SAME",
    "Objective",
    "Question",
    "RecipeProblem",
    "Solved",
    "Task",
    "best_regime",
    "build",
    "concerns",
    "follow",
    "has_terms",
    "is_posynomial",
    "log_repetition_derivatives",
    "log_text_derivatives",
    "objective_of",
    "plane_above_text",
    "recipes",
    "screened",
    "secant",
    "solve",
    "value",
]
