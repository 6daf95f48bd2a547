"""Commands that need no runs of one's own, one file each."""

from ._design import design_command
from ._doctor import doctor_command
from ._example import example_command
from ._init import init_command
from ._laws import laws_command
from ._plan import plan_command

__all__ = [
    "design_command",
    "doctor_command",
    "example_command",
    "init_command",
    "laws_command",
    "plan_command",
]
