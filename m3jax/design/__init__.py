"""Further small runs that would sharpen a recommendation most, within a budget."""

from ._belief import Belief, noise_of, normals, regret
from ._next import next_runs
from ._random import random_runs
from ._run_space import run_space
from ._search import random_design
from ._sheet import NextRuns, write_sheet

__all__ = [
    "Belief",
    "NextRuns",
    "next_runs",
    "noise_of",
    "normals",
    "random_design",
    "random_runs",
    "regret",
    "run_space",
    "write_sheet",
]
