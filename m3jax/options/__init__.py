"""Options, each declared once: one class a function, and what signatures, flags and TOML derive.

Nothing here imports JAX or pandas, so that the command line can show its help at once.
"""

from ._cells import CellOptions
from ._compare import HOLDOUTS, CompareOptions
from ._core import (
    POSITIVE,
    PROPER_SHARE,
    Allowed,
    Option,
    Options,
    at_least,
    default_of,
    option,
    option_of,
    same_as,
    takes,
    toml_kinds,
)
from ._fit import BOOTSTRAPS, POOLS, FitOptions, WorkOptions
from ._kinds import KINDS, converted_to, names_in
from ._limits import (
    METHODS,
    OBJECTIVES,
    Bounds,
    Limits,
    MapOptions,
    OptimizeOptions,
    SplitOptions,
)
from ._next import CRITERIA, FEWEST_DRAWS, NextOptions
from ._pilot import PilotDesign, PilotOptions, TrainingOptions
from ._planning import DesignOptions, PlanOptions
from ._table import TableOptions
from ._toml import read_toml

__all__ = [
    "BOOTSTRAPS",
    "CRITERIA",
    "FEWEST_DRAWS",
    "HOLDOUTS",
    "KINDS",
    "METHODS",
    "OBJECTIVES",
    "POOLS",
    "POSITIVE",
    "PROPER_SHARE",
    "Allowed",
    "Bounds",
    "CellOptions",
    "CompareOptions",
    "DesignOptions",
    "FitOptions",
    "Limits",
    "MapOptions",
    "NextOptions",
    "OptimizeOptions",
    "Option",
    "Options",
    "PilotDesign",
    "PilotOptions",
    "PlanOptions",
    "SplitOptions",
    "TableOptions",
    "TrainingOptions",
    "WorkOptions",
    "at_least",
    "converted_to",
    "default_of",
    "names_in",
    "option",
    "option_of",
    "read_toml",
    "same_as",
    "takes",
    "toml_kinds",
]
