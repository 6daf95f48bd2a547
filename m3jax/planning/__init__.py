"""An answer without any runs, from what public run tables say."""

from ._plan import MOST_EPOCHS, Plan, plan
from ._rules import RULES, RuleOutcome

__all__ = ["MOST_EPOCHS", "RULES", "Plan", "RuleOutcome", "plan"]
