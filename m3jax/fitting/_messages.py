"""What a user should know of a fit, in words."""

from __future__ import annotations

import numpy as np

from ..laws import Law, LogSpaceLaw
from .pooling import Priors
from .problem import FitProblem, ParameterSpace

_VANISHED = -20.0  # log size of a term, relative to the typical loss, that is as good as gone


def borrowing(law: Law, problem: FitProblem, priors: Priors) -> list[list[str]]:
    """In words, for each language, how much of its fit is not its own runs'."""
    out: list[list[str]] = []
    whose = "the stated prior"
    if priors.population is not None:
        whose = "the population of the other languages"
        if priors.population.pool == "full":
            shared = ", ".join(n for n, s in zip(law.names, priors.shared, strict=True) if s)
            whose = f"the exponents and shapes that all languages share ({shared})"
    for runs, free in zip(problem.mask.sum(axis=1), problem.free.sum(axis=1), strict=True):
        told = f"{runs} runs for {free} coefficients: {whose} decides most of them"
        out.append([told] if runs < free + 2 else [])
    return out


def at_bounds(
    law: Law, problem: FitProblem, space: ParameterSpace, x: np.ndarray, theta: np.ndarray
) -> list[list[str]]:
    """In words, the fitted coefficients that ended at a bound of their range."""
    told: list[list[str]] = [[] for _ in problem.languages]
    low, high = law.theta_bounds()
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    typical = problem.mean_log_loss
    for j, c in enumerate(law.coefficients):
        free = problem.free[:, j]
        if c.name in terms:
            for i in np.flatnonzero(free & (x[:, j] < typical + _VANISHED)):
                told[i].append(f"{c.name} vanishes: the runs show no sign of its term")
            continue
        slack = 1e-6 * (high[j] - low[j])
        for bound, side, at in (
            (c.bounds[0], "lower", theta[:, j] <= low[j] + slack),
            (c.bounds[1], "upper", theta[:, j] >= high[j] - slack),
        ):
            for i in np.flatnonzero(free & at):
                told[i].append(f"{c.name} ({c.meaning}) is at its {side} bound {bound:g}")
    return told
