"""What is asked of fits: limits, budgets, corpus sizes and objectives, and how it is answered."""

from ._ask import ask, positive_numbers
from ._held_by import ACTIVE
from ._questions import DrawOptima, Questions
from ._ranges import AllowedRanges, Range, allowed_ranges
from ._reach import REACH, Distance, covered_by, distances, runs_to_train, stepping_stones
from ._standing import NO_STANDING, Standing, summary

__all__ = [
    "ACTIVE",
    "NO_STANDING",
    "REACH",
    "AllowedRanges",
    "Distance",
    "DrawOptima",
    "Questions",
    "Range",
    "Standing",
    "allowed_ranges",
    "ask",
    "covered_by",
    "distances",
    "positive_numbers",
    "runs_to_train",
    "stepping_stones",
    "summary",
]
