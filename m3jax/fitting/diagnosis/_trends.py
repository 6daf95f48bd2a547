"""Trends of the residuals along the variables of the runs: what the law misses."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from ...formatting import rough_percent, write_brief
from ...variables import RUN_VARIABLES, VARIABLES
from ..problem import Scope
from ..uncertainty import Linearised
from ._correlation import IDENTICAL, pearson, spearman
from ._diagnosis import Trend

# Nominal chance of a trend in a language without any. The test takes the larger of two variances
# and counts all looks as independent: on clean synthetic languages it cries wolf in less than 1%.
_FALSE_TREND = 0.05
_CLIPPED = 2.5  # robust standard deviations a single run counts for in a trend
_NOTABLE = 0.25  # robust standard deviations; a mean error below that is not worth a word
_TESTABLE_RUNS = 10  # runs beyond the coefficients that a test for trends needs
_LEFT_OPEN = 0.02  # share of a trend that the law leaves open; below it there is nothing to test

# Without the ratio before the final stage, which may be 0 and follows from the others.
_TREND_VARIABLES = (
    *(name for name in RUN_VARIABLES if name != "first_ratio"),
    "stage_fraction",
)


def trends(linearised: Linearised, scope: Scope) -> tuple[Trend, ...]:
    """Residuals against the logarithm of every variable that varies in the runs, worst first.

    Tested is whether a rise or a bend in the variable, less what the law's own coefficients would
    take up of it, goes with the residuals: Rao's score test for adding it to the law, with
    Bonferroni's correction for all looks at a language. Of variables that are one and the same in
    these runs, one is tested.
    """
    residual = -linearised.residual
    clipped = np.clip(residual / linearised.noise_sd, -_CLIPPED, _CLIPPED)
    basis = _column_space(linearised.jacobian)
    log_values: dict[str, np.ndarray] = {}
    for name in sorted(_TREND_VARIABLES, key=lambda name: name not in linearised.law.variables):
        x = np.log(np.asarray(getattr(linearised.recipe, name), dtype=np.float64))
        varies = (name in scope.varies or name not in RUN_VARIABLES) and np.ptp(x) > 1e-9
        if varies and all(abs(pearson(x, other)) < IDENTICAL for other in log_values.values()):
            log_values[name] = x
    p_values = {}
    for name, x in log_values.items():
        z = (x - x.mean()) / x.std()
        tested = [_p_value(linearised, direction, clipped, basis) for direction in (z, z**2)]
        p_values[name] = [p for p in tested if p is not None]
    looks = sum(map(len, p_values.values()))
    out = []
    for name, x in log_values.items():
        p = min(1.0, looks * min(p_values[name], default=1.0))
        error, words = _largest_error(name, x, clipped) if p < _FALSE_TREND else (0.0, "")
        flagged = abs(error) >= _NOTABLE
        size = rough_percent(abs(math.expm1(error * linearised.noise_sd)))
        out.append(
            Trend(
                variable=name,
                correlation=spearman(x, residual),
                slope=float(
                    (residual - residual.mean()) @ (x - x.mean()) / np.sum((x - x.mean()) ** 2)
                ),
                p_value=p,
                flagged=flagged,
                message=f"{words} by {size}" if flagged else "",
            )
        )
    return tuple(sorted(out, key=lambda trend: trend.p_value))


def _column_space(jacobian: np.ndarray) -> np.ndarray:
    """Orthonormal basis (n, rank) of what the coefficients can do to the predictions."""
    size = np.linalg.norm(jacobian, axis=0)
    columns = jacobian[:, size > 0] / size[size > 0]
    if not columns.shape[1]:
        return np.zeros((len(jacobian), 0))
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, values > 1e-8 * values[0]]


def _p_value(
    linearised: Linearised, direction: np.ndarray, clipped: np.ndarray, basis: np.ndarray
) -> float | None:
    """Two-sided, of the residuals along a direction; None where the law takes it all up.

    t = d'ψ / √(V n/ν), where d is the direction less its projection on the law's Jacobian, ψ the
    clipped residuals, ν = n − rank, and V the larger of d'd mean(ψ²), for noise that is the same in
    all runs, and Σ_g (d_g'ψ_g)², for noise that differs and is shared by checkpoints of one run.
    """
    direction = direction - direction.mean()
    rest = direction - basis @ (basis.T @ direction)
    spare = len(rest) - basis.shape[1]
    if spare < _TESTABLE_RUNS or rest @ rest < _LEFT_OPEN * (direction @ direction):
        return None
    summed = np.bincount(linearised.group, rest * clipped)
    equal, clustered = float(rest @ rest * np.mean(clipped**2)), float(summed @ summed)
    variance = max(equal, clustered) * len(rest) / spare
    t = abs(float(rest @ clipped)) / math.sqrt(max(variance, 1e-300))
    v = float(min(spare, linearised.degrees_of_freedom))
    z = t * (1 - 1 / (4 * v)) / math.sqrt(1 + t * t / (2 * v))  # Abramowitz and Stegun 26.7.8
    return 2 * NormalDist().cdf(-z)


def _largest_error(variable: str, x: np.ndarray, clipped: np.ndarray) -> tuple[float, str]:
    """The mean standardised residual where the law errs most, at an end or in between; in words."""
    cuts = np.quantile(x, [1 / 6, 1 / 3, 2 / 3, 5 / 6])
    parts = [
        ("small", x <= cuts[0]),
        ("small", x <= cuts[1]),
        ("middling", (x > cuts[1]) & (x < cuts[2])),
        ("large", x >= cuts[2]),
        ("large", x >= cuts[3]),
    ]
    size, part = max(
        ((name, part) for name, part in parts if part.any()),
        key=lambda item: abs(clipped[item[1]].mean()) * math.sqrt(item[1].sum()),
    )
    values = np.exp(x[part])
    first, last = (write_brief(variable, float(v)) for v in (values.min(), values.max()))
    span = {"small": f"up to {last}", "large": f"{first} and more"}.get(size, f"{first} to {last}")
    error = float(clipped[part].mean())
    side = "under" if error > 0 else "over"
    plural = VARIABLES[variable].plural
    words = f"losses at {size} {plural} ({first if first == last else span})"
    return error, f"{words} are {side}-predicted"
