"""Minimising the robust objective: many small fits side by side."""

from ._amplitudes import with_best_amplitudes
from ._compiled import CompiledDescents
from ._devices import jit_over_devices
from ._host import HostDescents, minimise_on_host
from ._jacobian import feature_matrix, log_loss_and_jacobian
from ._lanes import (
    LANES_PER_ROW,
    best_candidates,
    fit_lanes,
    pack_rows,
    residuals_and_jacobian,
)
from ._linalg import solve_spd
from ._objective import FitData, Resample, huber, misfit, residuals
from ._points import log_losses, log_losses_and_slopes
from ._scatter import (
    NOISE_BELIEF_RUNS,
    TYPICAL_NOISE,
    delta_of_noise,
    delta_of_scatter,
    robust_sd,
)
from ._search import CANDIDATES_PER_START, RIVALS, BestFits, Descents, multi_start, refine
from ._solver import evaluate, minimise
from ._step import Box, Evaluation, Solution, StepControl, advance, first_state

__all__ = [
    "CANDIDATES_PER_START",
    "LANES_PER_ROW",
    "NOISE_BELIEF_RUNS",
    "RIVALS",
    "TYPICAL_NOISE",
    "BestFits",
    "Box",
    "CompiledDescents",
    "Descents",
    "Evaluation",
    "FitData",
    "HostDescents",
    "Resample",
    "Solution",
    "StepControl",
    "advance",
    "best_candidates",
    "delta_of_noise",
    "delta_of_scatter",
    "evaluate",
    "feature_matrix",
    "first_state",
    "fit_lanes",
    "huber",
    "jit_over_devices",
    "log_loss_and_jacobian",
    "log_losses",
    "log_losses_and_slopes",
    "minimise",
    "minimise_on_host",
    "misfit",
    "multi_start",
    "pack_rows",
    "refine",
    "residuals",
    "residuals_and_jacobian",
    "robust_sd",
    "solve_spd",
    "with_best_amplitudes",
]
