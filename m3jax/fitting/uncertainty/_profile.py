"""Profile likelihood: how much worse the fit gets as one coefficient is moved by force."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from ..._errors import M3Error
from ..._views import Views, drawn
from ...computing import in_double_precision
from ...formatting import level as level_in_words
from ...laws import Law, LogSpaceLaw
from ...options import names_in
from ...runs import RunTable
from .._fits import Fits
from ..engine import FitData, HostDescents
from ._covariance import level_of
from ._linearise import linearise
from ._linearised import Linearised
from ._robust import student_quantile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_ROUNDS, _TOLERANCE = (12, 12, 40, 100), 1e-9
_REACH = 4.0  # grid to either side of the best fit, in standard errors
_WIDENINGS = 3  # times the reach is doubled where the interval is not closed


@dataclasses.dataclass(frozen=True, repr=False)
class Profile(Views):
    """The objective along one coefficient, all others refitted at each value.

    Attributes:
        language: whose runs.
        coefficient: which one.
        values: of the coefficient in its own unit, ascending, (m,). For the amplitude of a term of
            a log-space law: the size of the term in the middle of the runs, in nats.
        statistic: the deviance T, what the objective loses against the best fit, scaled so that at
            the truth it is the square of a Student's t, (m,).
        low, high: the interval of values whose statistic stays below the quantile of the level; an
            end that the runs do not close is the coefficient's bound.
        closed: whether the runs close it, below and above.
        level: of the interval.
    """

    language: str
    coefficient: str
    values: np.ndarray
    statistic: np.ndarray
    low: float
    high: float
    closed: tuple[bool, bool]
    level: float

    def summary(self) -> str:
        """The interval and which of its ends the runs close, in a line."""
        ends = [f"{end:.4g}" for end in (self.low, self.high)]
        names = ("below", "above")
        beyond = [name for name, closed in zip(names, self.closed, strict=True) if not closed]
        is_open = f", open {' and '.join(beyond)}" if beyond else ""
        span = f"{' to '.join(ends)} ({level_in_words(self.level)}){is_open}"
        return f"{self.coefficient} of {self.language}: {span}"

    def to_frame(self) -> pd.DataFrame:
        """One row a value: `value` and `statistic`."""
        import pandas as pd

        return pd.DataFrame({"value": self.values, "statistic": self.statistic})

    def plot(self) -> Figure:
        """The statistic along the coefficient, and the interval. Raises without matplotlib."""
        return drawn(self)


def profile(
    fits: Fits,
    runs: RunTable,
    coefficients: str | Sequence[str],
    language: str | None = None,
    *,
    points: int = 17,
    level: float | None = None,
) -> dict[str, Profile]:
    """Profiles of chosen coefficients of one language: intervals that need not be symmetric.

    The coefficient x_j is held at each of `points` values v around the best fit and all others are
    refitted. With F the objective, H its Hessian and C the sandwich covariance clustered by
    `run_id`, the deviance of the profile likelihood is

        T(v) = 2 (min_{x: x_j = v} F(x) − min_x F(x)) (H⁻¹)_jj / C_jj,

    scaled for an objective that is not the log likelihood of the runs (Royall 1986, Stafford 1996).
    The interval holds the v with T(v) < t², t the quantile of Student's distribution.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        coefficients: a name or names; they must not be held in the fit.
        language: may be left out where there is only linearised.
        points: values on the grid, at least 5.
        level: of the intervals; default that of the fits.

    Raises `M3Error` for unknown or held coefficients, and as `covariance` does.
    """
    level, coefficients = level_of(fits, level), names_in(coefficients)
    if points < 5:
        raise M3Error(f"points: expected at least 5, got {points}")
    i = fits.index(language)
    name = fits.languages[i]
    for coefficient in coefficients:
        if coefficient not in fits.law.names:
            raise M3Error(
                f"law {fits.law.name} has no coefficient {coefficient!r}; it has"
                f" {', '.join(fits.law.names)}"
            )
        if fits.frozen[i, fits.law.names.index(coefficient)]:
            raise M3Error(f"language {name!r}: {coefficient} was held in the fit, not fitted")
    (linearised,) = linearise(fits, runs, [name])
    with in_double_precision():
        return {c: _profile(linearised, name, c, points, level) for c in coefficients}


def _profile(
    linearised: Linearised, language: str, coefficient: str, points: int, level: float
) -> Profile:
    space, covariance, inverse = (
        linearised.space,
        linearised.covariance_x,
        linearised.inverse_hessian,
    )
    j = linearised.law.names.index(coefficient)
    best = space.to_x(linearised.theta)
    least = float(_objectives(linearised, best[None], None)[0])
    low, high = float(space.lower[j]), float(space.upper[j])
    error = max(float(np.sqrt(covariance[j, j])), 1e-6)
    scale = inverse[j, j] / max(covariance[j, j], 1e-300)
    limit = student_quantile((1 + level) / 2, linearised.degrees_of_freedom) ** 2
    # How the others move with this coefficient, to first order: a good start of their refit.
    along = inverse[:, j] / max(inverse[j, j], 1e-300)
    reach = _REACH
    for _ in range(_WIDENINGS + 1):
        grid = np.linspace(
            max(best[j] - reach * error, low), min(best[j] + reach * error, high), points
        )
        starts = best + (grid - best[j])[:, None] * along
        starts[:, j] = grid
        objective = _objectives(linearised, starts, j)
        # A refit that found a better valley than the fit's own is a statistic of nothing.
        statistic = 2 * np.maximum(objective - least, 0.0) * scale
        closed_below, closed_above = statistic[0] >= limit, statistic[-1] >= limit
        if (closed_below or grid[0] <= low) and (closed_above or grid[-1] >= high):
            break
        reach *= 2
    middle = int(np.argmin(np.abs(grid - best[j])))
    down = _crossing(grid[middle::-1], statistic[middle::-1], limit)
    up = _crossing(grid[middle:], statistic[middle:], limit)
    natural = np.exp if _is_logarithm(linearised.law, coefficient) else np.asarray
    return Profile(
        language=language,
        coefficient=coefficient,
        values=natural(grid),
        statistic=statistic,
        low=float(natural(low if down is None else down)),
        high=float(natural(high if up is None else up)),
        closed=(down is not None, up is not None),
        level=level,
    )


def _is_logarithm(law: Law, coefficient: str) -> bool:
    """Whether the solver's variable is the logarithm of the coefficient or of its term."""
    in_term = isinstance(law, LogSpaceLaw) and coefficient in law.terms
    return in_term or law.coefficients[law.names.index(coefficient)].log


def _objectives(linearised: Linearised, starts: np.ndarray, held: int | None) -> np.ndarray:
    """Objectives (m,), prior included, of refits from starts (m, p), with x[held] where it is."""
    count = len(starts)

    def copies(leaf: np.ndarray) -> np.ndarray:
        return np.broadcast_to(leaf, (count, *np.shape(leaf))).copy()

    lower, upper = copies(linearised.space.lower), copies(linearised.space.upper)
    if held is not None:
        # Between equal bounds it stays, with the same variables and the same prior.
        lower[:, held] = upper[:, held] = starts[:, held]
    data = FitData(
        recipe=jax.tree.map(copies, linearised.recipe),
        log_loss=copies(linearised.log_loss),
        weight=copies(linearised.weight),
        centre=copies(linearised.space.centre),
        lower=lower,
        upper=upper,
        free=copies(linearised.free),
        prior_mean=copies(linearised.prior_mean),
        prior_precision=copies(linearised.prior_precision),
        prior_weight=copies(np.asarray(linearised.prior_weight)),
        delta=copies(np.asarray(linearised.delta)),
    )
    descents = HostDescents(linearised.law, _TOLERANCE)
    value = descents.descend(starts[:, None], data, _ROUNDS, _TOLERANCE).value[:, 0]
    if not np.all(np.isfinite(value)):
        raise M3Error(f"law {linearised.law.name}: the loss along the profile is not finite")
    return value


def _crossing(grid: np.ndarray, statistic: np.ndarray, limit: float) -> float | None:
    """Where the statistic first rises above the limit, walking along the grid."""
    above = np.flatnonzero(statistic >= limit)
    if not len(above):
        return None
    k = int(above[0])
    if k == 0:
        return float(grid[0])
    # Linear in the root of the statistic, which is linear in the coefficient near the best fit.
    a, b = np.sqrt(statistic[k - 1]), np.sqrt(statistic[k])
    share = (np.sqrt(limit) - a) / (b - a)
    return float(grid[k - 1] + share * (grid[k] - grid[k - 1]))
