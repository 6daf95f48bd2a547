"""What a diagnosis holds: of the table, of each coefficient, of each run, of trends."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._views import Views, drawn
from ...formatting import percent, quantity, r_squared

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ...runs import RunTable


@dataclasses.dataclass(frozen=True)
class CoefficientDiagnosis:
    """How well the runs determine one coefficient.

    Attributes:
        name: the coefficient.
        value: at the best fit.
        log: whether the standard error is that of its logarithm.
        standard_error: the larger of the delta method's and, with draws, the bootstrap's; None for
            a coefficient that is held.
        determined: "well", "weakly", "prior only" or "not" by the runs, or "fixed" by the user.
        share: 0 to 1, how much of what is known about it comes from the runs and not from the weak
            prior: 1 − (standard error / the prior's)². An amplitude is judged by the size of its
            term in the middle of the runs. None for a coefficient that is held.
        confounded_with: (name, correlation) of coefficients that cannot be told from it.
        bound: in words, the bound it is at; empty where it is not.
        note: in words, what else to know, or why it is held.
    """

    name: str
    value: float
    log: bool
    standard_error: float | None
    determined: str
    share: float | None
    confounded_with: tuple[tuple[str, float], ...]
    bound: str
    note: str


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
            coefficient's standard errors, to first order (DFBETAS).
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
        variable: one of `variables.RUN_VARIABLES`, or "stage_fraction".
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


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis(Views):
    """What the runs of one language are worth to the law that was fitted to them.

    Attributes:
        language: its name.
        grade: "good", "usable", "weak" or "unusable", that of the fit; or "not fitted".
        verdicts: sentences to act on, the most important first.
        n_runs: rows of the table.
        n_independent: runs with weight; checkpoints that share a `run_id` are one.
        r2: share of the variance of the loss explained; None if the law was not fitted.
        noise: robust standard deviation of the runs around the fit, in log loss; None likewise.
        prediction_error: the typical (median) standard error of the predicted log loss at the
            runs; None likewise.
        condition_number: of the Jacobian of the log losses with respect to the free coefficients,
            centred, columns scaled to unit length; None likewise.
        converged: whether the fit did.
        agreement: share of its descents that ended at the best optimum, see `Fits`.
        coefficients: in the law's order.
        correlation: of the coefficients, in the same order, (p, p), amplitudes taken in the middle
            of the runs; zero for those that are held.
        outliers: runs further from the fit than chance allows, the furthest first.
        influential: the few runs that decide most.
        trends: residuals against each variable that varies, the worst first.
        runs: every run that has weight, in the table's order.
    """

    language: str
    grade: str
    verdicts: tuple[str, ...]
    n_runs: int
    n_independent: int
    r2: float | None
    noise: float | None
    prediction_error: float | None
    condition_number: float | None
    converged: bool
    agreement: float
    coefficients: tuple[CoefficientDiagnosis, ...]
    correlation: np.ndarray
    outliers: tuple[RunDiagnosis, ...]
    influential: tuple[RunDiagnosis, ...]
    trends: tuple[Trend, ...]
    runs: tuple[RunDiagnosis, ...]

    def summary(self) -> str:
        """Grade, noise and the first verdict, in a line."""
        parts = [self.grade, quantity(self.n_runs, "run")]
        if self.noise is not None:
            parts.append(f"noise {percent(self.noise)}")
        if self.r2 is not None:
            parts.append(f"R² {r_squared(self.r2)}")
        return f"{self.language}: {', '.join(parts)}" + "".join(f"; {v}" for v in self.verdicts[:1])

    def to_frame(self) -> pd.DataFrame:
        """One row a coefficient: how well the runs determine it."""
        import pandas as pd

        fields = [field.name for field in dataclasses.fields(CoefficientDiagnosis)]
        return pd.DataFrame([dataclasses.asdict(c) for c in self.coefficients], columns=fields)

    def plot(self, runs: RunTable | None = None) -> Figure:
        """Which runs stand out and which decide or, given the runs, residuals by variable.

        Raises `M3Error` without matplotlib, or if the language was not fitted.
        """
        return drawn(self, runs)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, every number finite; without `runs`."""
        content = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "runs"
        }
        content["verdicts"] = list(self.verdicts)
        content["correlation"] = self.correlation.tolist()
        for name in ("coefficients", "outliers", "influential", "trends"):
            content[name] = [dataclasses.asdict(item) for item in getattr(self, name)]
        for item in content["coefficients"]:
            item["confounded_with"] = dict(item["confounded_with"])
        return content
