"""The best recipe under real constraints, for many languages, budgets and corpus sizes at once."""

from ._problem import LIMITS
from ._recommend import optimize
from ._result import Recommendations

__all__ = ["LIMITS", "Recommendations", "optimize"]
