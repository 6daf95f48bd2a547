"""Minimising the robust objective: many small fits side by side."""

from ._cholesky import solve_spd
from ._host import multi_start_on_host
from ._jacobian import columns, log_loss_and_jacobian, with_best_amplitudes
from ._lanes import LANES, best_candidates, compiled, fit_lanes, look_at, pack_rows
from ._objective import Data, Resample, huber, misfit
from ._search import CANDIDATES, TOLERANCE, Found, multi_start, refine
from ._solver import evaluate

__all__ = [
    "CANDIDATES",
    "LANES",
    "TOLERANCE",
    "Data",
    "Found",
    "Resample",
    "best_candidates",
    "columns",
    "compiled",
    "evaluate",
    "fit_lanes",
    "huber",
    "log_loss_and_jacobian",
    "look_at",
    "misfit",
    "multi_start",
    "multi_start_on_host",
    "pack_rows",
    "refine",
    "solve_spd",
    "with_best_amplitudes",
]
