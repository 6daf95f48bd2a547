"""How alike languages are: a normal population of coefficients, estimated from their fits.

With w the solver's variables of a language, rotated so that the amplitudes become an overall scale
and contrasts between terms,

    w_l ~ N(mu, Sigma),   mu ~ N(m0, S0 − Sigma),   Sigma diagonal,

so that whatever Sigma is, a language without runs has the weak prior's variance S0. A language's
runs speak through a message, the quadratic (A_l, b_l) that stands for their log likelihood around
its fit. With w_l integrated out the message on mu has

    precision T_l = (A_l⁻¹ + Sigma)⁻¹,   shift c_l = (I + A_l Sigma)⁻¹ b_l,

and mu is normal with precision P = (S0 − Sigma)⁻¹ + Σ_l T_l and mean P⁻¹ ((S0 − Sigma)⁻¹ m0 +
Σ_l c_l). The variances maximise the evidence, by the fixed point of MacKay 1992 (Bayesian
Interpolation, Neural Computation 4, equation 4.8): with V_l the posterior covariance of w_l − mu
and d_l its mean,

    Sigma_jj ← (ν0 s0² + Σ_l d_lj²) / (ν0 + γ_j),   γ_j = L − Σ_l (V_l)_jj / Sigma_jj,

the sum of squared deviations over the number of them that runs determine, both with the belief of
ν0 languages in s0. This is empirical Bayes, so a language's prior is made of what the *other*
languages say, its cavity as in expectation propagation: precision P − T_l for mu, and Sigma on top.
Its own runs count once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...laws import Law, LogSpaceLaw
from ._matrices import symmetric
from ._population import Population

# Of variances between languages, in units of the weak prior's.
_LEAST_VARIANCE, _MOST_VARIANCE = 1e-8, 0.999
_SCALE_VARIANCE = 0.99  # of the overall scale of the loss, which is never pooled
_SHARED_VARIANCE = 1e-6  # of what full pooling shares
_FIRST_VARIANCE = 0.25
_INNER_STEPS = 5  # of the fixed point for each set of messages
_MOST_GROWTH = 2.0  # a variance changes by no more than this factor on one set of messages


class SpreadBelief(NamedTuple):
    """What is believed of how languages differ before any is seen.

    Attributes:
        languages: ν0, how many the belief counts as.
        sd: s0, of the coefficients between languages, in the weak prior's sd.
    """

    languages: float = 2.0
    sd: float = 0.7


BELIEF = SpreadBelief()


class LikelihoodMessages(NamedTuple):
    """Each language's log likelihood as a quadratic, −½ w' A w + b' w.

    Attributes:
        precision: A, (L, p, p).
        shift: b, (L, p).
    """

    precision: np.ndarray
    shift: np.ndarray

    def mixed(self, previous: LikelihoodMessages, share: float) -> LikelihoodMessages:
        """Damped: that share of these, the rest of the previous ones."""
        return LikelihoodMessages(
            *(share * new + (1 - share) * old for new, old in zip(self, previous, strict=True))
        )


class PopulationEstimate(NamedTuple):
    """The population in the basis' variables, and the priors it means for its languages.

    Attributes:
        mean, mean_cov: of mu, (p,) and (p, p).
        variance: Sigma, of the languages around mu, in rotated variables, (p,).
        prior_mean, prior_cov: each language's cavity prior, (L, p) and (L, p, p).
        freedom: degrees of freedom each variance is known with, in rotated variables, (p,).
    """

    mean: np.ndarray
    mean_cov: np.ndarray
    variance: np.ndarray
    prior_mean: np.ndarray
    prior_cov: np.ndarray
    freedom: np.ndarray


@dataclasses.dataclass(frozen=True)
class PopulationBasis:
    """The variables of the population step.

    Attributes:
        mean, sd: the prior of a language, in the solver's variables less its typical loss, (p,).
        rotation: orthonormal Q, rotated variables = Q' · variables, (p, p).
        free: which are estimated, (p,).
        fixed: rotated variable -> its variance in units of the prior's, where that is given.
        scale: the rotated variable that is the overall scale of the loss, if there is one.
        belief: in the spread between languages.
    """

    mean: np.ndarray
    sd: np.ndarray
    rotation: np.ndarray
    free: np.ndarray
    fixed: Mapping[int, float]
    scale: int | None
    belief: SpreadBelief

    @classmethod
    def of(
        cls,
        law: Law,
        mean: np.ndarray,
        sd: np.ndarray,
        free: np.ndarray,
        pool: str,
        belief: SpreadBelief = BELIEF,
    ) -> PopulationBasis:
        """For a law and the prior (p,) and free coefficients (p,) of its languages."""
        p = len(law.names)
        terms = law.terms if isinstance(law, LogSpaceLaw) else {}
        amplitudes = [j for j, name in enumerate(law.names) if name in terms and free[j]]
        rotation, k = np.eye(p), len(amplitudes)
        # Helmert's contrasts: the first column is the mean, the next sets the second term against
        # the first, the third term against the first two, ...
        helmert = np.zeros((k, k))
        helmert[:, :1] = 1 / np.sqrt(max(k, 1))
        for j in range(1, k):
            helmert[:j, j] = 1 / np.sqrt(j * (j + 1))
            helmert[j, j] = -j / np.sqrt(j * (j + 1))
        rotation[np.ix_(amplitudes, amplitudes)] = helmert
        scale = amplitudes[0] if amplitudes else None
        fixed = {} if scale is None else {scale: _SCALE_VARIANCE}
        if pool == "full":
            fixed = {j: _SCALE_VARIANCE if j in amplitudes else _SHARED_VARIANCE for j in range(p)}
        return cls(mean, sd, rotation, free, fixed, scale, belief)

    @property
    def variance(self) -> np.ndarray:
        """Of the prior in rotated variables, (p,): its diagonal, if amplitudes' sds differ."""
        return np.einsum("ji,j,ji->i", self.rotation, self.sd**2, self.rotation)

    def start(self) -> np.ndarray:
        """Variances between languages to begin with, (p,)."""
        return self.variance * np.where(self.free, _FIRST_VARIANCE, _LEAST_VARIANCE)

    def estimate(self, messages: LikelihoodMessages, variance: np.ndarray) -> PopulationEstimate:
        """The population that messages in the basis' variables tell, from variances (p,)."""
        estimate = self._fixed_point(messages, variance, _INNER_STEPS)
        low, high = variance / _MOST_GROWTH, variance * _MOST_GROWTH
        held = list(self.fixed)
        low[held], high[held] = 0.0, np.inf
        near = np.clip(estimate.variance, low, high)
        if not np.allclose(near, estimate.variance, rtol=1e-3):
            # No variance moves far on one linearisation.
            freedom = estimate.freedom
            estimate = self._fixed_point(messages, near, 1)._replace(freedom=freedom)
        return estimate

    def _fixed_point(
        self, messages: LikelihoodMessages, variance: np.ndarray, steps: int
    ) -> PopulationEstimate:
        """The estimate at variances (p,) that `steps` − 1 steps of the fixed point have moved."""
        q, weak = self.rotation, self.variance
        mean0 = q.T @ self.mean
        both = self.free[:, None] & self.free
        a = np.where(both, q.T @ messages.precision @ q, 0.0)
        b = np.where(self.free, messages.shift @ q, 0.0)
        count, p = b.shape
        freedom = np.zeros(p)
        fixed = [(j, share * weak[j]) for j, share in self.fixed.items()]
        for j, value in fixed:
            variance = np.where(np.arange(p) == j, value, variance)
        for step in range(steps):
            # A language's variance stays the weak prior's; the mean of the scales is learnt even
            # where the scales themselves are free.
            spare = np.maximum(weak - variance, (1 - _MOST_VARIANCE) * weak)
            if self.scale is not None:
                spare[self.scale] = weak[self.scale]
            gain = np.linalg.inv(np.eye(p) + a * variance)
            marginal_precision = symmetric(gain @ a)  # (A⁻¹ + Sigma)⁻¹
            marginal_shift = np.einsum("lij,lj->li", gain, b)
            precision = np.diag(1 / spare) + marginal_precision.sum(axis=0)
            mean_cov = np.linalg.inv(precision)
            mean = mean_cov @ (mean0 / spare + marginal_shift.sum(axis=0))
            if step == steps - 1:
                break
            posterior = symmetric(variance[:, None] * gain)  # (A + Sigma⁻¹)⁻¹
            shrunk = posterior @ a
            deviation = np.einsum("lij,lj->li", posterior, b) - shrunk @ mean
            cov = posterior + shrunk @ mean_cov @ np.swapaxes(shrunk, 1, 2)
            undecided = np.einsum("lii->i", cov) / variance
            freedom = np.clip(count - undecided, 0, count)
            believed = self.belief.languages * self.belief.sd**2 * weak
            variance = (believed + (deviation**2).sum(axis=0)) / (self.belief.languages + freedom)
            variance = np.clip(variance, _LEAST_VARIANCE * weak, _MOST_VARIANCE * weak)
            for j, value in fixed:
                variance[j] = value
        # Without the language's own message.
        cavity = np.linalg.inv(precision - marginal_precision)
        others = mean0 / spare + marginal_shift.sum(axis=0) - marginal_shift
        prior_mean = np.einsum("lij,lj->li", cavity, others)
        prior_cov = cavity + np.diag(variance)
        return PopulationEstimate(
            mean=q @ mean,
            mean_cov=q @ mean_cov @ q.T,
            variance=variance,
            prior_mean=prior_mean @ q.T,
            prior_cov=symmetric(q @ prior_cov @ q.T),
            freedom=self.belief.languages + freedom,
        )

    def describe(
        self, law: Law, estimate: PopulationEstimate, pool: str, languages: int, noise: float
    ) -> Population:
        """What there is to say of an estimate; `rounds` and `settled` are left to the caller."""
        q, weak = self.rotation, self.variance
        spread = np.einsum("ij,j,ij->i", q, estimate.variance, q)
        rho = estimate.variance / weak
        if self.scale is not None:
            # Of the terms' sizes relative to one another: what the scale alone leaves.
            contrast = estimate.variance.copy()
            contrast[self.scale] = 0.0
            k = int(np.count_nonzero(q[:, self.scale]))
            amplitudes = np.flatnonzero(q[:, self.scale])
            relative = np.einsum("ij,j,ij->i", q, contrast, q)[amplitudes]
            own = np.mean(weak[amplitudes])
            rho[amplitudes] = relative / own * (k / (k - 1)) if k > 1 else _SCALE_VARIANCE
        return Population(
            pool=pool,
            names=law.names,
            fitted=self.free.copy(),
            mean=estimate.mean,
            mean_sd=np.sqrt(np.diagonal(estimate.mean_cov)),
            sd=np.sqrt(spread),
            rho=np.clip(rho, 0.0, 1.0),
            languages=languages,
            noise=noise,
            rounds=0,
            settled=False,
        )
