"""Results as pages of HTML that need nothing outside themselves."""

from ._calculator import write_calculator
from ._comparison import verdict, write_comparison
from ._program import law_program
from ._report import report_page, write_report

__all__ = [
    "law_program",
    "report_page",
    "verdict",
    "write_calculator",
    "write_comparison",
    "write_report",
]
