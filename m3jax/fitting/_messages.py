"""What a user should know of a fit, in words."""

from __future__ import annotations

import numpy as np

from ..laws import Law, LogSpaceLaw
from .pooling import Priors
from .problem import SPARE_RUNS, FitProblem, bounds_reached


def borrowing(law: Law, problem: FitProblem, priors: Priors, prior: str) -> list[list[str]]:
    """In words, for each language, that its fit is mostly the prior's or the population's.

    `prior` is what the fit's settings call it.
    """
    source = (
        "the range each usually has (the weak prior)" if prior == "weak" else "the stated prior"
    )
    if priors.population is not None:
        source = "the population of the other languages"
        if priors.population.pool == "full":
            shared = ", ".join(n for n, s in zip(law.names, priors.shared, strict=True) if s)
            source = f"the exponents and shapes that all languages share ({shared})"
    runs, free = problem.mask.sum(axis=1), problem.free.sum(axis=1)
    return [
        [f"{n} runs for {p} coefficients: {source} decides most of them"]
        if n < p + SPARE_RUNS
        else []
        for n, p in zip(runs, free, strict=True)
    ]


def at_bounds(law: Law, problem: FitProblem, x: np.ndarray) -> list[list[str]]:
    """In words, the fitted coefficients of each language that ended at a bound of their range.

    `x` are the solver's variables at the best fits, (L, p).
    """
    messages: list[list[str]] = [[] for _ in problem.languages]
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    typical = problem.mean_log_loss
    for j, c in enumerate(law.coefficients):
        name = c.name if c.name in terms else f"{c.name} ({c.meaning})"
        for words, reached in bounds_reached(law, j, x[:, j], typical):
            for i in np.flatnonzero(problem.free[:, j] & reached):
                messages[i].append(f"{name} {words}")
    return messages
