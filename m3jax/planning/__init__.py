"""An answer without any runs, from what public run tables say."""

from ._plan import Plan, plan
from ._rules import RULES, RuleOutcome

__all__ = ["RULES", "Plan", "RuleOutcome", "plan"]
