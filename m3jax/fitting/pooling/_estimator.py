"""The population while rounds of fits go on."""

from __future__ import annotations

import dataclasses

import numpy as np

from ...laws import Law, LogSpaceLaw
from ..problem import FitProblem, ParameterSpace
from ._basis import LikelihoodMessages, PopulationBasis, PopulationEstimate, SpreadBelief
from ._matrices import inverse_covariance, triangular_factor
from ._movement import posterior_sds_moved
from ._priors import Priors

_FIRST_DAMPED_ROUND, _NEW_SHARE = 3, 0.5  # from that round on, this share of new messages
_TRUST_RADIUS = 0.5  # weak prior sds that the mean of a prior moves in one round
# Posterior sds that the mean of the population moves by in a round: to go on, and to be told.
_MOVING, _DRIFTING = 0.15, 0.05


class PopulationEstimator:
    """The population of some languages, updated from the fits of each round.

    Fits speak through messages, their log likelihoods to second order, damped from the third round
    on as in loopy message passing.
    """

    def __init__(
        self,
        law: Law,
        problem: FitProblem,
        mean: np.ndarray,
        sd: np.ndarray,
        pool: str,
        belief: SpreadBelief,
    ) -> None:
        free = problem.free[0]
        terms = law.terms if isinstance(law, LogSpaceLaw) else {}
        self._law, self._pool = law, pool
        self._amplitudes = np.array([name in terms for name in law.names]) & free
        # What is each language's own is taken off: its typical loss.
        self._offset = np.where(self._amplitudes, problem.mean_log_loss[:, None], 0.0)
        self._sd = sd[0]
        self._basis = PopulationBasis.of(law, mean[0] - self._offset[0], sd[0], free, pool, belief)
        self._variance = self._basis.start()
        self._messages: LikelihoodMessages | None = None
        self._round = 0
        self._drift = np.inf
        self._estimate: PopulationEstimate | None = None

    def update(self, information: np.ndarray, gradient: np.ndarray, x: np.ndarray) -> None:
        """Estimate anew, from the likelihoods around the last fits.

        Args:
            information, gradient: of the negative log likelihood, (L, p, p) and (L, p).
            x: the fits, (L, p).
        """
        self._round += 1
        at_fits = np.einsum("lij,lj->li", information, x - self._offset)
        messages = LikelihoodMessages(information, at_fits - gradient)
        if self._messages is not None and self._round >= _FIRST_DAMPED_ROUND:
            messages = messages.mixed(self._messages, _NEW_SHARE)
        previous, self._messages = self._estimate, messages
        self._estimate = self._basis.estimate(messages, self._variance)
        self._variance = self._estimate.variance
        if previous is not None:
            free = self._basis.free[None]
            precision = inverse_covariance(self._estimate.mean_cov[None], free)
            move = (self._estimate.mean - previous.mean)[None]
            self._drift = posterior_sds_moved(move, precision, free)

    @property
    def stands_still(self) -> bool:
        """Whether the population's mean has all but stopped moving."""
        return self._drift < _MOVING

    def priors(self, mean: np.ndarray, space: ParameterSpace) -> tuple[np.ndarray, np.ndarray]:
        """Each language's next prior, (L, p) and (L, p, p), whose means go only so far from `mean`.

        All go the same share of their way, unless that takes one beyond the trust radius.
        """
        assert self._estimate is not None
        target = self._estimate.prior_mean + self._offset
        move = np.where(self._basis.free, target - mean, 0.0)
        distance = np.abs(move / self._sd).max(axis=1, keepdims=True)
        share = np.minimum(_TRUST_RADIUS / np.maximum(distance, 1e-12), 1.0)
        share = np.minimum(share, np.median(share))
        moved = np.clip(mean + share * move, space.lower, space.upper)
        return moved, self._estimate.prior_cov

    def finish(self, priors: Priors, noise: float, rounds: int, settled: bool) -> Priors:
        """`priors` with the population and, for full pooling, the values that all share.

        Args:
            priors: of the last round.
            noise: sd of all languages' log losses.
            rounds: how many there were.
            settled: whether the fits stood still at their end.
        """
        assert self._estimate is not None
        estimate, basis = self._estimate, self._basis
        shared = basis.free & ~self._amplitudes & (self._pool == "full")
        cov = np.where(shared[:, None] & shared, estimate.mean_cov, 0.0)
        population = basis.describe(self._law, estimate, self._pool, len(priors.start), noise)
        q = basis.rotation
        return dataclasses.replace(
            priors,
            further_mean=estimate.mean,
            further_cov=estimate.mean_cov + (q * estimate.variance) @ q.T,
            start=np.where(shared, estimate.mean, priors.start),
            shared=shared,
            shared_factor=triangular_factor(cov, shared),
            freedom=estimate.freedom,
            rotation=basis.rotation,
            population=dataclasses.replace(
                population, rounds=rounds, settled=settled and self._drift < _DRIFTING
            ),
        )
