"""An answer without any runs, from what public run tables say."""

from ._plan import MOST_EPOCHS, MOST_TIMES_OPTIMAL, Plan, plan, within_reason
from ._rules import ONE_STAGE, RULES, RuleOutcome

__all__ = [
    "MOST_EPOCHS",
    "MOST_TIMES_OPTIMAL",
    "ONE_STAGE",
    "RULES",
    "Plan",
    "RuleOutcome",
    "plan",
    "within_reason",
]
