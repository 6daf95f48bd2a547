"""Further small runs that would sharpen a recommendation most, within a budget."""

from ._belief import Belief, expected_regret, normals
from ._from_nothing import RunDesign, design_runs
from ._next import next_runs
from ._prospects import Prospect, likeness_of, prospects, ranges_around
from ._random import random_runs
from ._reason import MOST_EPOCHS, MOST_TIMES_OPTIMAL, limits_of, optimal_size, within_reason
from ._run_space import run_space
from ._search import random_design
from ._sheet import NextRuns, check_sheet, write_sheet

__all__ = [
    "MOST_EPOCHS",
    "MOST_TIMES_OPTIMAL",
    "Belief",
    "NextRuns",
    "Prospect",
    "RunDesign",
    "check_sheet",
    "design_runs",
    "expected_regret",
    "likeness_of",
    "limits_of",
    "next_runs",
    "normals",
    "optimal_size",
    "prospects",
    "random_design",
    "random_runs",
    "ranges_around",
    "run_space",
    "within_reason",
    "write_sheet",
]
