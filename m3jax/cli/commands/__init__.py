"""The commands of the command line, one file each."""

from ._calculator import calculator_command
from ._compare import compare_command
from ._diagnose import diagnose_command
from ._fit import fit_command
from ._map import map_command
from ._next import next_command
from ._optimize import optimize_command
from ._pilot import pilot_command
from ._predict import predict_command
from ._run import run_command
from ._share import share_command
from ._split import split_command
from ._worth import worth_command

__all__ = [
    "calculator_command",
    "compare_command",
    "diagnose_command",
    "fit_command",
    "map_command",
    "next_command",
    "optimize_command",
    "pilot_command",
    "predict_command",
    "run_command",
    "share_command",
    "split_command",
    "worth_command",
]
