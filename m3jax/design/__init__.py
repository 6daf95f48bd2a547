"""Further small runs that would sharpen a recommendation most, within a budget."""

from ._belief import Belief, expected_regret, normals
from ._next import next_runs
from ._random import random_runs
from ._run_space import run_space
from ._search import random_design
from ._sheet import NextRuns, check_sheet, write_sheet

__all__ = [
    "Belief",
    "NextRuns",
    "check_sheet",
    "expected_regret",
    "next_runs",
    "normals",
    "random_design",
    "random_runs",
    "run_space",
    "write_sheet",
]
