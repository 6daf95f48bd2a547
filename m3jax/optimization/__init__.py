"""The best recipe under real constraints, for many languages, budgets and corpus sizes at once."""

from ._ask import Asked, ask
from ._limits import Limits
from ._problem import LIMITS, Question
from ._recommend import optimize
from ._result import Recommendations
from ._solve import Solved, solve

__all__ = [
    "LIMITS",
    "Asked",
    "Limits",
    "Question",
    "Recommendations",
    "Solved",
    "ask",
    "optimize",
    "solve",
]
