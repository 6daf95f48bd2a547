"""What is asked of fits: limits, budgets, corpus sizes and objectives, and how it is answered."""

from ._ask import ask, positive_numbers
from ._questions import DrawOptima, Questions
from ._ranges import AllowedRanges

__all__ = [
    "AllowedRanges",
    "DrawOptima",
    "Questions",
    "ask",
    "positive_numbers",
]
