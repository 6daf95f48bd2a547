"""Solvers of the recipe problem, and the proof of their answers."""

from ._batched import screen_starts
from ._branch_and_bound import plane_above_text, secant
from ._faces import build_problem
from ._interior_point import PrimalDualIterate, solve_interior_point
from ._limits import HELD_WIDTH, LIMIT_INDEX, LIMITS, NAMED_LIMITS, can_bind
from ._log_sum_exp import (
    STAGED,
    has_terms,
    is_posynomial,
    log_repetition_derivatives,
    log_sum_exp,
    log_text_derivatives,
    stage_curvature_bounds,
    stage_derivatives,
)
from ._over_draws import Drawn
from ._programs import NonlinearProgram, Objective
from ._question import Question
from ._recipe_problem import RecipeProblem, text_as_read
from ._solve import REGIME_TIE, RegimeOptima, best_regime, objective_of, recipes, solve

__all__ = [
    "HELD_WIDTH",
    "LIMITS",
    "LIMIT_INDEX",
    "NAMED_LIMITS",
    "REGIME_TIE",
    "STAGED",
    "Drawn",
    "NonlinearProgram",
    "Objective",
    "PrimalDualIterate",
    "Question",
    "RecipeProblem",
    "RegimeOptima",
    "best_regime",
    "build_problem",
    "can_bind",
    "has_terms",
    "is_posynomial",
    "log_repetition_derivatives",
    "log_sum_exp",
    "log_text_derivatives",
    "objective_of",
    "plane_above_text",
    "recipes",
    "screen_starts",
    "secant",
    "solve",
    "solve_interior_point",
    "stage_curvature_bounds",
    "stage_derivatives",
    "text_as_read",
]
