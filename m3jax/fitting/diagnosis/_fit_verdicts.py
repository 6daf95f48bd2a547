"""How the fit went, and how far the runs scatter around it."""

from __future__ import annotations

from ...formatting import rough_percent, share
from ...laws import Law
from ...variables import RUN_VARIABLES
from ._diagnosis import Diagnosis
from ._verdict import Verdict

RUNS_PER_COEFFICIENT = 3  # independent runs to a free coefficient that are enough
_AGREEMENT = 0.5  # share of the descents that should end at one optimum
_EXPLAINED = 0.8  # share of the variance of the loss that a law should explain
_NOISY = 0.02  # scatter of the log losses above which differences between recipes drown
_NOISE_OVER_DELTA = 3.0  # noise over huber_delta beyond which most runs count by their sign alone


def fit_verdicts(law: Law, diagnosis: Diagnosis, huber_delta: float) -> list[Verdict]:
    """Verdicts on convergence, the number of runs, trends and noise of a fitted language."""
    assert diagnosis.noise is not None  # fitted
    assert diagnosis.r2 is not None
    verdicts: list[Verdict] = []
    free = sum(c.standard_error is not None for c in diagnosis.coefficients)
    if not diagnosis.converged:
        text = "the fit stopped before it converged: fit again with more starts"
        verdicts.append(Verdict(5, text))
    if diagnosis.agreement < _AGREEMENT:
        text = f"only {share(diagnosis.agreement)} of the descents ended at this optimum"
        verdicts.append(
            Verdict(23, f"{text}: others explain the runs nearly as well; intervals cover them")
        )
    if diagnosis.r2 < _EXPLAINED:
        explained = share(max(diagnosis.r2, 0))
        text = f"the law explains only {explained} of the variance of the loss"
        verdicts.append(Verdict(12, f"{text}: compare laws on held-out runs"))
    if free and diagnosis.n_independent / free < RUNS_PER_COEFFICIENT:
        text = (
            f"{diagnosis.n_independent} runs for {free} free coefficients: add runs, hold"
            " coefficients or take a smaller law"
        )
        verdicts.append(Verdict(13, text))
    verdicts += _missed_trends(law, diagnosis)
    noise = rough_percent(diagnosis.noise)
    if diagnosis.noise > _NOISY:
        text = (
            f"the runs scatter by {noise} around the fit: smaller differences between recipes are"
            " noise; repeat runs with other seeds"
        )
        verdicts.append(Verdict(19, text))
    else:
        verdicts.append(Verdict(90, f"the runs scatter by {noise} (robust sd) around the fit"))
    if diagnosis.noise > _NOISE_OVER_DELTA * huber_delta:
        text = (
            f"huber_delta {huber_delta:g} is far below the noise: leave it out, or fit again with"
            f" {float(f'{diagnosis.noise:.1g}'):g}, for steadier coefficients"
        )
        verdicts.append(Verdict(37, text))
    return verdicts


def _missed_trends(law: Law, diagnosis: Diagnosis) -> list[Verdict]:
    """Trends that the law leaves in the residuals, of variables it knows or does not know."""
    verdicts = []
    for trend in diagnosis.trends:
        if not trend.flagged:
            continue
        known = "first_ratio" if trend.variable == "stage_fraction" else trend.variable
        if known in law.variables:
            rank, text = 21, "the law misses something there; compare laws on held-out runs"
        else:
            rank = 11 if trend.variable in RUN_VARIABLES else 21
            text = f"law {law.name} knows nothing of that; take one that does"
        verdicts.append(Verdict(rank, f"{trend.message}: {text}"))
    return verdicts
