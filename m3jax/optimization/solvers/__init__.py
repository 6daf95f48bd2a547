"""Solvers of the recipe problem, and the proof of their answers."""

from ._best_regime import REGIME_TIE, best_regime
from ._certify import above_text, chord
from ._faces import build
from ._fast import screened
from ._general import Objective, Task
from ._interior import follow
from ._limits import AT, LIMITS, NAMED, SAME, concerns
from ._question import Question
from ._recipe_problem import RecipeProblem
from ._solve import Solved, objective_of, recipes, solve
from ._terms import has_terms, is_posynomial, repetition, text, value

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
    "above_text",
    "best_regime",
    "build",
    "chord",
    "concerns",
    "follow",
    "has_terms",
    "is_posynomial",
    "objective_of",
    "recipes",
    "repetition",
    "screened",
    "solve",
    "text",
    "value",
]
