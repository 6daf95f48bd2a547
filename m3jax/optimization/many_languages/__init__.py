"""One budget or one model for many target languages."""

from ._results import BudgetSplit, SharedModel
from ._shared import shared_model
from ._sources import SourceChoice, best_sources
from ._split import split_budget

__all__ = [
    "BudgetSplit",
    "SharedModel",
    "SourceChoice",
    "best_sources",
    "shared_model",
    "split_budget",
]
