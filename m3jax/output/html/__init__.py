"""Results as pages of HTML that need nothing outside themselves."""

from ._comparison import verdict, write_comparison
from ._report import determined_section, write_report

__all__ = ["determined_section", "verdict", "write_comparison", "write_report"]
