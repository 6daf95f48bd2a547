"""What is asked of a fit: limits, budgets, corpus sizes and objectives."""

from ._ask import Asked, ask, why_not
from ._limits import Limits, amounts
from ._robust import OBJECTIVES, robust_task, user_task

__all__ = [
    "OBJECTIVES",
    "Asked",
    "Limits",
    "amounts",
    "ask",
    "robust_task",
    "user_task",
    "why_not",
]
