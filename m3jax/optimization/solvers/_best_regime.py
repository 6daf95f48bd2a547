"""Which regime is best: the lowest loss, and the simplest regime of equals."""

from __future__ import annotations

import numpy as np

# A regime must beat a simpler one by this, in log loss (nearly the relative loss): where the ratio
# goes to 1, or a stage to nothing, they are one recipe, and only the solver's error tells them
# apart. It may stop at a KKT residual of 1e-9 in each of several limits. At 1e-8 and below, maps
# show bands of single-stage between monolingual and two-stage, about a millionth of a corpus size
# wide, that are not there.
REGIME_TIE = 1e-7


def best_regime(log_loss: np.ndarray) -> np.ndarray:
    """Regime with the lowest log loss (3, …), the first and so the simplest of equals.

    From the simplest on, a regime takes the place of a simpler one that it beats by `REGIME_TIE`.
    −1 where no regime is allowed: all are infinite.
    """
    best, lowest = np.zeros(log_loss.shape[1:], dtype=np.int64), log_loss[0]
    for regime in range(1, len(log_loss)):
        better = log_loss[regime] < lowest - REGIME_TIE
        best, lowest = np.where(better, regime, best), np.where(better, log_loss[regime], lowest)
    return np.where(np.isfinite(lowest), best, -1)
