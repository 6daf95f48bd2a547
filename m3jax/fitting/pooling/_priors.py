"""What each language is fitted with once the priors are known, and those fits."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..engine import BestFits, Descents, FitData, delta_of_noise, refine
from ..problem import FitProblem, ParameterSpace
from ._matrices import inverse_covariance, prior_factor
from ._population import Population

_FINAL_RESTARTS = 2  # from the prior, beside the last fit and the prior's mean


@dataclasses.dataclass(frozen=True)
class Priors:
    """What each language is fitted with: a normal prior, the noise, and where to start.

    Everything is in the solver's variables x of `FitProblem.space`. Pure data: a population
    estimated once can be sent to where its languages are fitted in shares, see `take`.

    Attributes:
        mean, cov: of the prior, (L, p) and (L, p, p); of held coefficients they mean nothing.
        noise: sd of each language's log losses around its fit, (L,).
        start: best fits of the last round, (L, p).
        shared: coefficients that all share and the final fit holds at `start`, (p,) bool.
        shared_factor: F with F @ F.T the covariance of the shared values, (p, p).
        freedom: degrees of freedom that each variance of the prior is known with, in rotated
            variables, (p,); infinite where it is no estimate.
        rotation: x = rotation @ rotated variables, (p, p).
        population: None without pooling.
        further_mean, further_cov: what a further language is expected to have, in the variables
            of the common space less its typical loss, (p,) and (p, p); None without pooling.
    """

    mean: np.ndarray
    cov: np.ndarray
    noise: np.ndarray
    start: np.ndarray
    shared: np.ndarray
    shared_factor: np.ndarray
    freedom: np.ndarray
    rotation: np.ndarray
    population: Population | None
    further_mean: np.ndarray | None = None
    further_cov: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Priors:
        """Some of the languages."""
        return dataclasses.replace(
            self,
            mean=self.mean[rows],
            cov=self.cov[rows],
            noise=self.noise[rows],
            start=self.start[rows],
        )


def fit_with_priors(
    descents: Descents,
    problem: FitProblem,
    priors: Priors,
    huber_delta: float | None,
    seed: int,
) -> BestFits:
    """The final fits, by the objective of every other fit."""
    space = problem.space(descents.law)
    data = final_fit_data(problem, space, priors, huber_delta)
    rng = np.random.default_rng([seed, 3])
    starts = restart_points(space, data, priors.start, priors.cov, _FINAL_RESTARTS, rng)
    return refine(descents, starts, data)


def final_fit_data(
    problem: FitProblem, space: ParameterSpace, priors: Priors, huber_delta: float | None
) -> FitData:
    """What the final fits and their draws see; `free` leaves out what all languages share.

    Where `huber_delta` is None it is what the noise of each language asks for.
    """
    free = problem.free & ~priors.shared
    precision = inverse_covariance(priors.cov, free)
    delta = (
        delta_of_noise(priors.noise)
        if huber_delta is None
        else np.full(len(priors.noise), huber_delta)
    )
    prior_weight = expected_huber(priors.noise, delta)
    return dataclasses.replace(
        fit_data(problem, space, priors.mean, precision, prior_weight, delta), free=free
    )


def fit_data(
    problem: FitProblem,
    space: ParameterSpace,
    prior_mean: np.ndarray,
    prior_precision: np.ndarray,
    prior_weight: np.ndarray,
    delta: np.ndarray,
) -> FitData:
    """The problem as the solver takes it.

    With a prior (L, p), (L, p, p), its weight (L,) and the delta (L,) of the Huber loss.
    """
    return FitData(
        recipe=problem.recipe,
        log_loss=problem.log_loss,
        weight=problem.weight,
        centre=space.centre,
        lower=space.lower,
        upper=space.upper,
        free=problem.free,
        prior_mean=prior_mean,
        prior_precision=prior_precision,
        prior_weight=prior_weight,
        delta=delta,
    )


def restart_points(
    space: ParameterSpace,
    data: FitData,
    x: np.ndarray,
    cov: np.ndarray,
    restarts: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """The last fits x (L, p), the priors' means and draws from the priors, (L, 2 + restarts, p)."""
    p = x.shape[1]
    free, mean = np.asarray(data.free), np.asarray(data.prior_mean)
    factor = prior_factor(cov, free, np.eye(p))
    # The same in every language, so that its fit does not depend on which others are beside it.
    draws = np.einsum("lij,sj->lsi", factor, rng.standard_normal((restarts, p)))
    starts = np.concatenate([x[:, None], mean[:, None], mean[:, None] + draws], axis=1)
    starts = np.clip(starts, space.lower[:, None], space.upper[:, None])
    return np.where(free[:, None], starts, x[:, None])


def expected_huber(sd: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Mean Huber loss of normal residuals with these standard deviations, of the same shape.

    E[ρ(σz)] = ½σ² (1 − 2Q − 2cφ(c)) + 2δσφ(c) − δ²Q with c = δ/σ, φ the normal density and Q its
    upper tail at c. What a degree of freedom's misfit is expected to be.
    """
    ratio = delta / sd
    density = np.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    beyond = 0.5 * np.array([math.erfc(r / math.sqrt(2)) for r in ratio.tolist()])
    within = 0.5 * sd**2 * (1 - 2 * beyond - 2 * ratio * density)
    return np.asarray(within + 2 * delta * sd * density - delta**2 * beyond)
