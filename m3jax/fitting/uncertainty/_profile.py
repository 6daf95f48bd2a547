"""Profile likelihood: how much worse the fit gets as one coefficient is moved by force."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from ..._errors import M3Error
from ...laws import LogSpaceLaw
from ...runs import RunTable
from .._fits import Fits
from ..engine import FitData, fit_lanes
from ._covariance import Linearised, linearise, student_quantile

_ROUNDS, _TOLERANCE = (12, 12, 40, 100), 1e-9
_REACH = 4.0  # grid to either side of the best fit, in standard errors
_WIDENINGS = 3  # times the reach is doubled where the interval is not closed


@dataclasses.dataclass(frozen=True)
class Profile:
    """The objective along one coefficient, all others refitted at each value.

    Attributes:
        language, coefficient: whose.
        values: of the coefficient in its own unit, ascending, (m,). For the amplitude of a term of
            a log-space law: the size of the term in the middle of the runs, in nats.
        statistic: what the objective loses against the best fit, scaled so that at the truth it is
            the square of a Student's t, (m,).
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


def profile(
    fits: Fits,
    runs: RunTable,
    coefficients: Sequence[str],
    language: str | None = None,
    *,
    points: int = 17,
    level: float | None = None,
) -> dict[str, Profile]:
    """Profiles of chosen coefficients of one language: intervals that need not be symmetric.

    The coefficient is held at each of `points` values around the best fit and all others are
    refitted. The loss of objective is compared with what the scatter of the runs makes of it: twice
    the loss times the ratio of the coefficient's variance without to that with the sandwich (Royall
    1986 and Stafford 1996, for likelihoods that are not the truth's), clustered by `run_id`.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        coefficients: names; they must not be held in the fit.
        language: may be left out where there is only one.
        points: values on the grid, at least 5.
        level: of the intervals; default that of the fits.

    Raises `M3Error` for unknown or held coefficients, and as `covariance` does.
    """
    level = float(fits.settings["level"]) if level is None else level
    if not 0 < level < 1:
        raise M3Error(f"level: expected a number between 0 and 1, got {level}")
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
    (one,) = linearise(fits, runs, [name])
    with jax.enable_x64(True):
        return {c: _profile(fits, one, name, c, points, level) for c in coefficients}


def _profile(
    fits: Fits, one: Linearised, language: str, coefficient: str, points: int, level: float
) -> Profile:
    law = fits.law
    j = law.names.index(coefficient)
    best = one.space.to_x(one.theta)
    base = float(_objective(fits, one, best[None], None)[1][0])
    low, high = float(one.space.lower[j]), float(one.space.upper[j])
    spread = max(float(np.sqrt(one.covariance_x[j, j])), 1e-6)
    scale = one.inverse_hessian[j, j] / max(one.covariance_x[j, j], 1e-300)
    limit = student_quantile((1 + level) / 2, one.spare) ** 2
    # What the others do, to first order, as this one moves: a good start of their refit.
    along = one.inverse_hessian[:, j] / max(one.inverse_hessian[j, j], 1e-300)
    reach = _REACH
    for _ in range(_WIDENINGS + 1):
        grid = np.linspace(
            max(best[j] - reach * spread, low), min(best[j] + reach * spread, high), points
        )
        starts = best + (grid - best[j])[:, None] * along
        starts[:, j] = grid
        _, value = _objective(fits, one, starts, j)
        # A refit that found a better valley than the fit's own is a statistic of nothing.
        statistic = 2 * np.maximum(value - base, 0.0) * scale
        lowest, highest = statistic[0] >= limit, statistic[-1] >= limit
        if (lowest or grid[0] <= low) and (highest or grid[-1] >= high):
            break
        reach *= 2
    middle = int(np.argmin(np.abs(grid - best[j])))
    down = _crossing(grid[middle::-1], statistic[middle::-1], limit)
    up = _crossing(grid[middle:], statistic[middle:], limit)
    natural = np.exp if _is_log(fits, coefficient) else np.asarray
    return Profile(
        language,
        coefficient,
        natural(grid),
        statistic,
        float(natural(low if down is None else down)),
        float(natural(high if up is None else up)),
        (down is not None, up is not None),
        level,
    )


def _is_log(fits: Fits, coefficient: str) -> bool:
    law = fits.law
    in_term = isinstance(law, LogSpaceLaw) and coefficient in law.terms
    return in_term or law.coefficients[law.names.index(coefficient)].log


def _objective(
    fits: Fits, one: Linearised, starts: np.ndarray, held: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Refits from starts (m, p), with x[held] where it is; ends and objectives, prior included."""
    count = len(starts)

    def copies(leaf: np.ndarray) -> np.ndarray:
        return np.broadcast_to(leaf, (count, *np.shape(leaf))).copy()

    lower, upper = copies(one.space.lower), copies(one.space.upper)
    if held is not None:
        # Between equal bounds it stays, with the same variables and the same prior.
        lower[:, held] = upper[:, held] = starts[:, held]
    data = FitData(
        recipe=jax.tree.map(copies, one.recipe),
        log_loss=copies(one.log_loss),
        weight=copies(one.weight),
        centre=copies(one.space.centre),
        lower=lower,
        upper=upper,
        free=copies(one.free),
        prior_mean=copies(one.prior_mean),
        prior_precision=copies(one.prior_precision),
        prior_weight=copies(np.asarray(one.prior_weight)),
    )
    end = fit_lanes(
        fits.law,
        starts,
        np.arange(count),
        data,
        one.delta,
        rounds=_ROUNDS,
        tolerance=_TOLERANCE,
        precision="float64",
        lanes=1,
    )
    if not np.all(np.isfinite(end.value)):
        raise M3Error(f"law {fits.law.name}: the loss along the profile is not finite")
    return end.x, end.value


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
