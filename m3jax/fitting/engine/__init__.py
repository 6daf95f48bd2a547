"""Minimising the robust objective: many small fits side by side."""

from ._cholesky import solve_spd
from ._host import multi_start_on_host
from ._jacobian import columns, log_loss_and_jacobian, with_best_amplitudes
from ._lanes import (
    LANES_PER_ROW,
    best_candidates,
    fit_lanes,
    jit_over_devices,
    pack_rows,
    residuals_and_jacobian,
)
from ._objective import FitData, Resample, huber, misfit
from ._search import CANDIDATES_PER_START, TOLERANCE, BestFits, multi_start, refine
from ._solver import evaluate

__all__ = [
    "CANDIDATES_PER_START",
    "LANES_PER_ROW",
    "TOLERANCE",
    "BestFits",
    "FitData",
    "Resample",
    "best_candidates",
    "columns",
    "evaluate",
    "fit_lanes",
    "huber",
    "jit_over_devices",
    "log_loss_and_jacobian",
    "misfit",
    "multi_start",
    "multi_start_on_host",
    "pack_rows",
    "refine",
    "residuals_and_jacobian",
    "solve_spd",
    "with_best_amplitudes",
]
