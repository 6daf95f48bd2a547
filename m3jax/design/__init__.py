"""Further small runs that would sharpen a recommendation most, within a budget."""

from ._next import next_runs, random_runs
from ._sheet import NextRuns, write_sheet

__all__ = ["NextRuns", "next_runs", "random_runs", "write_sheet"]
