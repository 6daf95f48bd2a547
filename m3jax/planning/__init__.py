"""An answer without any runs, from what public run tables say."""

from ._plan import Plan, plan
from ._rules import ONE_STAGE, RULES, RuleOutcome

__all__ = ["ONE_STAGE", "RULES", "Plan", "RuleOutcome", "plan"]
