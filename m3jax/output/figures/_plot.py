"""The one figure that a result is shown by: what its `plot()` draws."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from ..._errors import M3Error
from ...comparison import Scores
from ...fitting import Diagnosis, Fits, Profile
from ...optimization import Recommendations
from ...runs import RunTable
from ._coefficients import coefficients_by_language, statistic_along
from ._fit_quality import fit_quality
from ._recipes import recipes_by_corpus
from ._residuals import leverage_of_runs, residuals_by_variable
from ._runs import losses_by_variable
from ._scores import scores_by_law

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@singledispatch
def plot(result: Any, *data: Any) -> Figure:
    """The figure of a result, drawn from it and from what its `plot()` takes.

    Raises `M3Error` without matplotlib, and for what has no figure.
    """
    raise M3Error(f"plot: {type(result).__name__} has no figure of its own")


plot.register(RunTable, losses_by_variable)
plot.register(Profile, statistic_along)
plot.register(Scores, scores_by_law)


@plot.register(Fits)
def _of_fits(fits: Fits, runs: RunTable | None = None) -> Figure:
    return coefficients_by_language(fits) if runs is None else fit_quality(fits, RunTable.of(runs))


@plot.register(Diagnosis)
def _of_diagnosis(diagnosis: Diagnosis, runs: RunTable | None = None) -> Figure:
    if runs is None:
        return leverage_of_runs(diagnosis)
    return residuals_by_variable(diagnosis, RunTable.of(runs))


@plot.register(Recommendations)
def _of_recommendations(found: Recommendations, language: str | None = None) -> Figure:
    if language is None and len(found.languages) > 1:
        raise M3Error(f"name a language: there are {', '.join(found.languages)}")
    return recipes_by_corpus(found, found.languages[0] if language is None else language)
