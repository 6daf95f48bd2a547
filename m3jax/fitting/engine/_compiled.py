"""Descents compiled whole, for many languages side by side: most of the way in single precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...laws import Law
from ._lanes import LANES_PER_ROW, best_candidates, fit_lanes, residuals_and_jacobian
from ._objective import FitData, FitResiduals, Resample
from ._search import RIVALS, BestFits
from ._step import Solution

# Iterations between which unfinished fits are packed together again.
_FINISH, _EXACT = (6, 10, 20, 64), (200,)
_FLOAT32_TOLERANCE = 1e-7  # single precision can tell no smaller gain


class CompiledDescents(NamedTuple):
    """`Descents` for many languages.

    Attributes:
        law: that is fitted.
        precision: "float64" or "float32", of the finish.
        tolerance: relative gain at which a finished fit has converged.
    """

    law: Law
    precision: str
    tolerance: float

    def rank(self, candidates: np.ndarray, data: FitData, count: int) -> np.ndarray:
        """See `Descents`."""
        return best_candidates(self.law, candidates, data, count)

    def descend(
        self,
        starts: np.ndarray,
        data: FitData,
        rounds: tuple[int, ...],
        tolerance: float,
        *,
        held: np.ndarray | None = None,
        resampled: Resample | None = None,
    ) -> Solution:
        """See `Descents`."""
        count, many, p = starts.shape
        own = resampled and Resample(
            *(leaf.astype(np.float32).reshape(-1, leaf.shape[-1]) for leaf in resampled)
        )
        ends = fit_lanes(
            self.law,
            starts.reshape(-1, p),
            np.repeat(np.arange(count), many),
            data,
            rounds=rounds,
            tolerance=tolerance,
            precision="float32",
            lanes=LANES_PER_ROW if many >= LANES_PER_ROW else 1,
            resampled=own,
            held=None if held is None else held.reshape(-1, p),
        )
        return Solution(*(leaf.reshape(count, many, *leaf.shape[1:]) for leaf in ends))

    def residuals_and_jacobian(self, x: np.ndarray, data: FitData) -> FitResiduals:
        """See `Descents`."""
        return residuals_and_jacobian(self.law, x, data)

    def finish(self, x: np.ndarray, data: FitData) -> BestFits:
        """See `Descents`."""
        loose = max(self.tolerance, _FLOAT32_TOLERANCE)
        end = fit_lanes(
            self.law,
            x,
            np.arange(len(x)),
            data,
            rounds=_FINISH,
            tolerance=self.tolerance if self.precision == "float64" else loose,
            precision=self.precision,
            lanes=1,
        )
        converged = end.converged.copy()
        # Single precision cannot tell how near it is, and leaves weak exponents a percent off:
        # there Newton has the last word on every fit, a few steps in double, emulated if need be.
        uncertain = ~converged | (self.precision == "float32")
        rows = np.flatnonzero(uncertain & np.isfinite(end.value))
        if len(rows):
            exact = fit_lanes(
                self.law,
                end.x[rows],
                rows,
                data,
                rounds=_EXACT,
                tolerance=self.tolerance,
                precision="float64",
                lanes=1,
                exact=True,
            )
            end.x[rows], converged[rows] = exact.x, exact.converged
        misfit, residual, jacobian = residuals_and_jacobian(self.law, end.x, data)
        return BestFits(
            end.x,
            np.where(np.isfinite(end.value), misfit, np.inf),
            np.array(data.prior_weight),
            converged,
            np.ones(len(x)),
            np.array(data.delta),
            residual,
            jacobian,
            np.repeat(end.x[:, None], RIVALS, axis=1),
        )
