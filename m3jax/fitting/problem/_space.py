"""The space languages are fitted in: centred variables, their bounds and starts."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...laws import Law, LogSpaceLaw
from ...recipe import Recipe

# Log sizes, relative to the typical loss, of a term of a log-space law in the middle of the runs.
TERM_START = (np.log(0.02), np.log(0.6))
TERM_BOUNDS = (-30.0, 5.0)


@dataclasses.dataclass(frozen=True)
class ParameterSpace:
    """The solver's variables x, theta = centre @ x, of one language or, with leading axes, of many.

    Exponents and shapes are the coefficients themselves. For an amplitude of a log-space law x is
    the log size of its term in the geometric middle of the runs, so that neither units nor the
    range of the runs matter to where a fit starts or what the prior expects.

    Attributes:
        centre: (..., p, p).
        lower, upper: bounds, infinite for what is held, (..., p).
        start_low, start_high: starts are drawn from here; the weak prior is the normal
            distribution whose one-sigma range this is, (..., p).
    """

    centre: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    start_low: np.ndarray
    start_high: np.ndarray

    @classmethod
    def of(
        cls,
        law: Law,
        recipe: Recipe,
        mean_log_loss: np.ndarray | float,
        free: np.ndarray,
        mask: np.ndarray | None = None,
        common: np.ndarray | None = None,
    ) -> ParameterSpace:
        """The space for runs with these recipes (NumPy leaves (..., n)) when `free` may move.

        `mean_log_loss` has shape (...), `free` (..., p); `mask` (..., n) says which runs are real.
        `common` (p, p) is a centre to share instead of each language having the middle of its runs.
        """
        p = len(law.names)
        shape = free.shape

        def copies(values: np.ndarray) -> np.ndarray:
            return np.broadcast_to(values, shape).copy()

        def copies_of(matrix: np.ndarray) -> np.ndarray:
            return np.broadcast_to(matrix, (*shape, p)).copy()

        lower, upper = (copies(v) for v in law.theta_bounds())
        low, high = (copies(v) for v in law.theta_start())
        centre = copies_of(np.eye(p))
        if isinstance(law, LogSpaceLaw):
            centre = law.centre(recipe, mask) if common is None else copies_of(common)
            typical = np.asarray(mean_log_loss)
            index = {name: i for i, name in enumerate(law.names)}
            for amplitude, powers in law.terms.items():
                i = index[amplitude]
                moves = free[..., i]
                for bound, value in (
                    (lower, TERM_BOUNDS[0]),
                    (upper, TERM_BOUNDS[1]),
                    (low, TERM_START[0]),
                    (high, TERM_START[1]),
                ):
                    bound[..., i] = np.where(moves, typical + value, bound[..., i])
                # A held amplitude is held as quoted, not at the middle of the runs; so the
                # exponents of its term are not centred, in any term.
                for exponent in powers:
                    for other in law.terms:
                        entry = centre[..., index[other], index[exponent]]
                        centre[..., index[other], index[exponent]] = np.where(moves, entry, 0.0)
        return cls(centre, np.where(free, lower, -np.inf), np.where(free, upper, np.inf), low, high)

    def take(self, row: int) -> ParameterSpace:
        """The space of one of many languages."""
        return ParameterSpace(
            *(getattr(self, field.name)[row] for field in dataclasses.fields(self))
        )

    def to_x(self, theta: np.ndarray) -> np.ndarray:
        """Solver variables of coefficient vectors (..., p)."""
        return np.linalg.solve(self.centre, theta[..., None])[..., 0]

    @property
    def prior_mean(self) -> np.ndarray:
        """Mean of the variables under the weak prior, (..., p)."""
        return (self.start_low + self.start_high) / 2

    @property
    def prior_sd(self) -> np.ndarray:
        """Standard deviation of the variables under the weak prior, (..., p)."""
        return (self.start_high - self.start_low) / 2

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Starting points by Latin hypercube sampling, (..., count, p).

        Every variable's range is cut into `count` parts and each part has one point. The points
        take the same shares of the ranges in all languages.
        """
        p = self.start_low.shape[-1]
        cell = rng.permuted(np.tile(np.arange(count), (p, 1)), axis=1).T
        share = (cell + rng.random((count, p))) / count
        low, high = self.start_low[..., None, :], self.start_high[..., None, :]
        return low + (high - low) * share
