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

    Equal is what differs by `REGIME_TIE` at most. −1 where no regime is allowed: all are infinite.
    """
    lowest = log_loss.min(axis=0)
    best = np.argmax(log_loss <= lowest + REGIME_TIE, axis=0)
    return np.where(np.isfinite(lowest), best, -1)
