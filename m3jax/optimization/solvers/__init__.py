"""Solvers of the recipe problem, and the proof of their answers."""

from ._certify import above_text, chord
from ._fast import screened
from ._general import Objective, Task
from ._interior import follow
from ._problem import AT, LIMITS, NAMED, SAME, Question, RecipeProblem, build, concerns
from ._solve import Solved, objective_of, recipes, solve
from ._terms import has_terms, is_posynomial, repetition, text, value

__all__ = [
    "AT",
    "LIMITS",
    "NAMED",
    "SAME",
    "Objective",
    "Question",
    "RecipeProblem",
    "Solved",
    "Task",
    "above_text",
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
