"""What is asked of fits: limits, budgets, corpus sizes and objectives, and how it is answered."""

from ._ask import ask, positive_numbers
from ._held_by import ACTIVE
from ._questions import DrawOptima, Questions
from ._ranges import AllowedRanges, Range
from ._reach import Distance
from ._standing import NO_STANDING, Standing, summary

__all__ = [
    "ACTIVE",
    "NO_STANDING",
    "AllowedRanges",
    "Distance",
    "DrawOptima",
    "Questions",
    "Range",
    "Standing",
    "ask",
    "positive_numbers",
    "summary",
]
