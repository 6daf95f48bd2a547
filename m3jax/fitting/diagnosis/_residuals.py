"""What the residuals of a fit say: runs that stand out, runs that decide, trends the law misses."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from statistics import NormalDist
from typing import Any

import numpy as np

from ... import formatting
from ...laws import RUN_VARIABLES
from ...runs import RunTable
from ..problem import Scope
from ..uncertainty import Linearised, student_quantile

_FALSE_OUTLIER = 0.01  # nominal chance of one in a language without any
# The same for trends, whose test takes the larger of two variances and counts all looks as
# independent: on clean synthetic languages it cries wolf in less than 1%.
_FALSE_TREND = 0.05
_CLIPPED = 2.5  # robust standard deviations a single run counts for in a trend
_MATTERS = 0.25  # robust standard deviations; a mean error below that is not worth a word
_TESTABLE = 10  # runs beyond the coefficients that a test for trends needs
_SAME = 0.9995  # correlation of two log-variables that are one
_ABSORBED = 0.02  # share of a trend that the law leaves open; below it there is nothing to test
_TOLD = 3  # runs told of by name

_WORDS = {
    "n_params": "model sizes",
    "target_tokens": "corpus sizes",
    "epochs": "epochs",
    "total_tokens": "token counts",
    "target_ratio": "target ratios",
    "final_ratio": "final ratios",
    "stage_fraction": "final-stage shares",
}


@dataclasses.dataclass(frozen=True)
class RunDiagnosis:
    """One run as the fit sees it.

    Attributes:
        name: "run 'x17'" or, if that is its name, run17; "row 17" where the table names no runs.
        row: in the source, the first row after the header being 1.
        residual: log measured minus log predicted loss.
        standardised: the residual over the robust standard deviation of all.
        leverage: 0 to 1, how far the run's own loss decides what the law predicts for it.
        influence: how far leaving the run out moves the coefficient that it moves most, in that
            coefficient's standard errors, to first order.
        moves: the name of that coefficient.
        message: in words, what stands out.
    """

    name: str
    row: int
    residual: float
    standardised: float
    leverage: float
    influence: float
    moves: str
    message: str


@dataclasses.dataclass(frozen=True)
class Trend:
    """Residuals against one variable of the runs.

    Attributes:
        variable: one of `laws.RUN_VARIABLES`, or "stage_fraction".
        correlation: Spearman's, of log measured − log predicted loss and the variable.
        slope: of those residuals, per factor e of the variable.
        p_value: chance of a trend as strong, rising, falling or bent, if the law were right;
            corrected for all the looks at one language.
        flagged: whether that is too small for chance.
        message: in words, where the law errs and by how much; empty unless flagged.
    """

    variable: str
    correlation: float
    slope: float
    p_value: float
    flagged: bool
    message: str


def run_diagnoses(one: Linearised, runs: RunTable) -> tuple[RunDiagnosis, ...]:
    """Every run of a language that has weight, in the table's order."""
    names = run_names(runs, one.position)
    error = np.sqrt(np.diagonal(one.covariance_x))
    # Where the Hessian is large against the gradient, leaving a run out is one Newton step.
    shift = np.abs(one.score @ one.inverse_hessian) / np.where(error > 0, error, np.inf)
    out = []
    for i, name in enumerate(names):
        residual = -float(one.residual[i])
        standardised, most = residual / one.noise_sd, int(np.argmax(shift[i]))
        side = "above" if residual > 0 else "below"
        out.append(
            RunDiagnosis(
                name=name,
                row=int(runs.row[one.position[i]]),
                residual=residual,
                standardised=standardised,
                leverage=float(one.leverage[i]),
                influence=float(shift[i, most]),
                moves=one.law.names[most],
                message=f"{name} lies {percent(abs(math.expm1(residual)))} {side} the fit,"
                f" {abs(standardised):.0f} robust sd",
            )
        )
    return tuple(out)


def outliers(one: Linearised, told: tuple[RunDiagnosis, ...]) -> tuple[RunDiagnosis, ...]:
    """Runs further out than chance allows among so many, the furthest first."""
    limit = student_quantile(1 - _FALSE_OUTLIER / (2 * len(told)), max(one.degrees_of_freedom, 3))
    found = [run for run in told if abs(run.standardised) > limit]
    return tuple(sorted(found, key=lambda run: -abs(run.standardised)))


def influential(told: tuple[RunDiagnosis, ...]) -> tuple[RunDiagnosis, ...]:
    """The few runs that decide most, in words."""
    top = sorted(told, key=lambda run: -run.influence)[:_TOLD]
    return tuple(
        dataclasses.replace(
            run,
            message=f"without {run.name}, {run.moves} moves by about {run.influence:.1f} of its"
            f" standard errors (leverage {run.leverage:.2f})",
        )
        for run in top
    )


def trends(one: Linearised, scope: Scope) -> tuple[Trend, ...]:
    """Residuals against the logarithm of every variable that varies in the runs, worst first.

    Tested is whether a rise or a bend in the variable, less what the law's own coefficients would
    take up of it, goes with the residuals: the score test for adding it to the law. Of variables
    that are one and the same in these runs, one is tested.
    """
    residual = -one.residual
    clipped = np.clip(residual / one.noise_sd, -_CLIPPED, _CLIPPED)
    basis = _range(one.jacobian)
    values: dict[str, np.ndarray] = {}
    for name in sorted(_WORDS, key=lambda name: name not in one.law.variables):
        x = np.log(np.asarray(getattr(one.recipe, name), dtype=np.float64))
        varies = (name in scope.varies or name not in RUN_VARIABLES) and np.ptp(x) > 1e-9
        if varies and all(abs(correlation(x, other)) < _SAME for other in values.values()):
            values[name] = x
    looks = {}
    for name, x in values.items():
        z = (x - x.mean()) / x.std()
        found = [_p_value(one, direction, clipped, basis) for direction in (z, z**2)]
        looks[name] = [p for p in found if p is not None]
    count = sum(map(len, looks.values()))
    out = []
    for name, x in values.items():
        p = min(1.0, count * min(looks[name], default=1.0))
        message = _where(name, x, clipped) if p < _FALSE_TREND else None
        error, words = message or (0.0, "")
        flagged = abs(error) >= _MATTERS
        size = percent(abs(math.expm1(error * one.noise_sd)))
        out.append(
            Trend(
                variable=name,
                correlation=correlation(_ranks(x), _ranks(residual)),
                slope=float(
                    (residual - residual.mean()) @ (x - x.mean()) / np.sum((x - x.mean()) ** 2)
                ),
                p_value=p,
                flagged=flagged,
                message=f"{words} by {size}" if flagged else "",
            )
        )
    return tuple(sorted(out, key=lambda trend: trend.p_value))


def run_names(runs: RunTable, place: np.ndarray) -> list[str]:
    """How to speak of the runs at these places of the table."""
    ids, rows = [str(i) for i in runs.run_id[place]], runs.row[place].tolist()
    if all(i == str(row) for i, row in zip(ids, rows, strict=True)):
        return [f"row {row}" for row in rows]
    count = Counter(ids)
    return [
        (i if i.lower().startswith("run") else f"run {i!r}")
        + (f" (row {row})" if count[i] > 1 else "")
        for i, row in zip(ids, rows, strict=True)
    ]


def percent(share: float) -> str:
    """0.0123 as "1.2%", small values with two digits."""
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def amount(variable: str, value: float) -> str:
    """A value of one of the run table's variables."""
    counts = ("n_params", "target_tokens", "total_tokens")
    return formatting.count(value) if variable in counts else f"{value:.3g}"


def _range(jacobian: np.ndarray) -> np.ndarray:
    """Orthonormal basis (n, rank) of what the coefficients can do to the predictions."""
    size = np.linalg.norm(jacobian, axis=0)
    columns = jacobian[:, size > 0] / size[size > 0]
    if not columns.shape[1]:
        return np.zeros((len(jacobian), 0))
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, values > 1e-8 * values[0]]


def _p_value(
    one: Linearised, direction: np.ndarray, clipped: np.ndarray, basis: np.ndarray
) -> float | None:
    """Two-sided, of the residuals along a direction; None where the law takes it all up."""
    direction = direction - direction.mean()
    rest = direction - basis @ (basis.T @ direction)
    spare = len(rest) - basis.shape[1]
    if spare < _TESTABLE or rest @ rest < _ABSORBED * (direction @ direction):
        return None
    # Noise that is the same for all runs, or differs, checkpoints of one run erring together: the
    # larger of both.
    _, group = np.unique(one.cluster, return_inverse=True)
    own = np.bincount(group, rest * clipped)
    variance = max(float(rest @ rest * np.mean(clipped**2)), float(own @ own)) * len(rest) / spare
    t = abs(float(rest @ clipped)) / math.sqrt(max(variance, 1e-300))
    v = float(min(spare, one.degrees_of_freedom))
    z = t * (1 - 1 / (4 * v)) / math.sqrt(1 + t * t / (2 * v))  # Abramowitz and Stegun 26.7.8
    return 2 * NormalDist().cdf(-z)


def _where(variable: str, x: np.ndarray, clipped: np.ndarray) -> tuple[float, str]:
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
    inside = np.exp(x[part])
    first, last = (amount(variable, float(v)) for v in (inside.min(), inside.max()))
    span = {"small": f"up to {last}", "large": f"{first} and more"}.get(size, f"{first} to {last}")
    error = float(clipped[part].mean())
    side = "under" if error > 0 else "over"
    words = f"losses at {size} {_WORDS[variable]} ({first if first == last else span})"
    return error, f"{words} are {side}-predicted"


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 0, ties sharing theirs."""
    _, group, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[group]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; 0 where one of them does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size: Any = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else 0.0
