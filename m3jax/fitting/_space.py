"""The space one language is fitted in: centred variables, their bounds, starts and prior."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..laws import Law, LogSpaceLaw
from ..recipe import Recipe

# Log sizes, relative to the typical loss, of a term of a log-space law in the middle of the runs.
_TERM_START = (np.log(0.02), np.log(0.6))
_TERM_BOUNDS = (-30.0, 5.0)


@dataclasses.dataclass(frozen=True)
class Space:
    """The solver's variables x for one language, theta = centre @ x; arrays of shape (p,).

    Exponents and shapes are the coefficients themselves. The amplitudes of a log-space law are
    the log sizes of their terms in the middle of the runs, so that neither units nor the range of
    the runs matter to where a fit starts or what the prior expects.

    Attributes:
        centre: (p, p).
        lower, upper: bounds.
        start_low, start_high: starts are drawn from here; the weak prior is the normal
            distribution whose one-sigma range this is.
    """

    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    start_low: np.ndarray
    start_high: np.ndarray

    @classmethod
    def of(cls, law: Law, recipe: Recipe, mean_log_loss: float, free: np.ndarray) -> Space:
        """The space for runs with these recipes (NumPy leaves (n,)) when `free` may move."""
        p = len(law.names)
        centre = law.centre(recipe)
        lower, upper = law.theta_bounds()
        low, high = law.theta_start()
        if centre is None:
            centre = np.eye(p)
        elif isinstance(law, LogSpaceLaw):
            for i in (law.names.index(name) for name in law.terms):
                if free[i]:
                    lower[i], upper[i] = (mean_log_loss + v for v in _TERM_BOUNDS)
                    low[i], high[i] = (mean_log_loss + v for v in _TERM_START)
        # A held amplitude is held as quoted, not at the middle of the runs, whatever the bounds.
        centre[~free] = np.eye(p)[~free]
        return cls(centre, np.where(free, lower, -np.inf), np.where(free, upper, np.inf), low, high)

    def to_x(self, theta: np.ndarray) -> np.ndarray:
        """Solver variables of a coefficient vector (p,)."""
        return np.linalg.solve(self.centre, theta)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Random starting points, shape (count, p)."""
        width = self.start_high - self.start_low
        return self.start_low + width * rng.random((count, len(width)))

    @property
    def prior_mean(self) -> np.ndarray:
        """Where the weak prior expects x."""
        return (self.start_low + self.start_high) / 2

    @property
    def prior_sd(self) -> np.ndarray:
        """How sure of it the weak prior is."""
        return (self.start_high - self.start_low) / 2
