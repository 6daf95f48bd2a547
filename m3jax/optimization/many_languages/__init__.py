"""One budget or one model for many target languages."""

from ._portfolio import BudgetSplit, split_budget
from ._shared import SharedModel, shared_model

__all__ = [
    "BudgetSplit",
    "SharedModel",
    "shared_model",
    "split_budget",
]
