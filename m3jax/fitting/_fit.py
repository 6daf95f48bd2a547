"""`fit`: all languages of a run table in one batch."""

from __future__ import annotations

from typing import Any

from .._progress import Progress, silent
from ..laws import Law
from ..options import FitOptions, takes
from ..runs import RunTable
from ._fits import Fits
from ._plan import plan_fit


@takes(FitOptions)
def fit(
    runs: RunTable | Any,
    law: str | Law = "m3",
    *,
    options: FitOptions,
    progress: Progress | None = None,
) -> Fits:
    """Fit a law to the runs of every language in the table.

    Minimises Σ weight·Huber_δ(log predicted loss − log measured loss) from several starts.
    Intervals come from refits to resampled runs. Coefficients that the runs cannot determine are
    frozen, with a message. A language that cannot be fitted is reported in `Fits.failed`.

    Args:
        runs: the run table, or a DataFrame with its columns.
        law: a law or its registered name.
        options: the fields of `FitOptions`, each a keyword.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on options outside their range or an unknown law or coefficient.
    """
    report = progress or silent
    return plan_fit(RunTable.of(runs), law, options, report).fit(report)
