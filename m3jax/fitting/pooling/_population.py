"""How alike languages are: a normal population of coefficients, estimated from their fits.

With w the solver's variables of a language, rotated so that the amplitudes become an overall scale
and contrasts between terms,

    w_l ~ N(mu, Sigma),   mu ~ N(m0, S0 − Sigma),   Sigma diagonal,

so that whatever Sigma is, a language without runs has the weak prior's variance S0. A language's
runs speak through the quadratic (A_l, b_l) that stands for their log likelihood around its fit; the
rest is linear algebra. The variances maximise the evidence, by the fixed point of MacKay 1992
(Bayesian Interpolation, Neural Computation 4, equation 4.8): each is the sum of squared deviations
over the number of them that runs determine. This is empirical Bayes, so a language's prior is made
of what the *other* languages say (its cavity); its own runs count once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..._errors import M3Error
from ...laws import Law, LogSpaceLaw

_LEAST, _MOST = 1e-8, 0.999  # of a variance between languages, in units of the weak prior's
_SCALE = 0.99  # the same of the overall scale of the loss, which is never pooled
_SHARED = 1e-6  # and of what full pooling shares
_PSEUDO, _PSEUDO_SD = 2.0, 0.7  # languages' worth of belief in a spread, in the weak prior's sd
_INNER = 5  # fixed-point iterations for each set of messages
_TURN = 2.0  # a variance changes by no more than this factor on one set of messages


@dataclasses.dataclass(frozen=True)
class Population:
    """What languages fitted together have in common.

    The figures of a coefficient are in its own unit, in logarithms where `Coefficient.log` says so,
    and for amplitudes the logarithm of the share of the loss that the term makes up in the
    geometric middle of all runs. Shapes (p,).

    Attributes:
        pool: "partial" or "full".
        names: coefficients, in the law's order.
        fitted: which are; the figures of the others mean nothing.
        mean: of the population.
        mean_sd: how sure that is.
        sd: between languages.
        rho: sd² over the weak prior's: 0 where languages share one value, 1 where nothing is
            pooled. Of amplitudes without the overall scale of the loss, which is each language's.
        languages: how many it was estimated from.
        noise: sd of the runs' log losses around the fits.
        rounds: how many it took.
        settled: whether it had stopped moving when the fits had. If not, it is still drifting, and
            predictions of languages with few runs depend on where it was stopped.
    """

    pool: str
    names: tuple[str, ...]
    fitted: np.ndarray
    mean: np.ndarray
    mean_sd: np.ndarray
    sd: np.ndarray
    rho: np.ndarray
    languages: int
    noise: float
    rounds: int
    settled: bool

    def ranges(self, law: Law) -> dict[str, tuple[float, float]]:
        """Where a further language is expected, one sd to either side: what `Prior` takes."""
        spread = np.hypot(self.sd, self.mean_sd)
        low, high = self.mean - spread, self.mean + spread
        terms = law.terms if isinstance(law, LogSpaceLaw) else {}
        out = {}
        for j, c in enumerate(law.coefficients):
            if self.fitted[j]:
                a, b = float(low[j]), float(high[j])
                if c.log or c.name in terms:
                    a, b = float(np.exp(a)), float(np.exp(b))
                if c.name not in terms:
                    a, b = max(a, c.bounds[0]), min(b, c.bounds[1])
                out[c.name] = a, b
        return out

    @property
    def status(self) -> str:
        """In words, whether it settled."""
        if self.settled:
            return f"settled after {self.rounds} rounds"
        return (
            f"still drifting after {self.rounds} rounds: the runs hardly decide it, and what few"
            " runs leave open depends on where it stopped"
        )

    def to_dict(self, law: Law) -> dict[str, Any]:
        """The JSON shape; every number is finite."""
        ranges = self.ranges(law)
        return {
            "pool": self.pool,
            "languages": self.languages,
            "noise": self.noise,
            "rounds": self.rounds,
            "settled": self.settled,
            "status": self.status,
            "coefficients": {
                name: {
                    "mean": float(self.mean[j]),
                    "mean_sd": float(self.mean_sd[j]),
                    "sd": float(self.sd[j]),
                    "rho": float(self.rho[j]),
                    "low": ranges[name][0],
                    "high": ranges[name][1],
                }
                for j, name in enumerate(self.names)
                if self.fitted[j]
            },
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], law: Law) -> Population:
        """Read what `to_dict` wrote; raises `M3Error` or `KeyError` where it is not that."""
        rows = content["coefficients"]
        if set(rows) - set(law.names):
            raise M3Error(f"the population's coefficients are not those of law {law.name}")

        def column(key: str) -> np.ndarray:
            return np.array([rows[n][key] if n in rows else 0.0 for n in law.names], dtype=float)

        return cls(
            pool=content["pool"],
            names=law.names,
            fitted=np.array([n in rows for n in law.names]),
            mean=column("mean"),
            mean_sd=column("mean_sd"),
            sd=column("sd"),
            rho=column("rho"),
            languages=content["languages"],
            noise=content["noise"],
            rounds=content["rounds"],
            settled=content["settled"],
        )


class Messages(NamedTuple):
    """Each language's log likelihood as a quadratic, −½ x'A x + b'x: (L, p, p) and (L, p)."""

    precision: np.ndarray
    pull: np.ndarray

    def mixed(self, old: Messages, share: float) -> Messages:
        """Damped: some of the new, the rest of the old."""
        return Messages(*(share * a + (1 - share) * b for a, b in zip(self, old, strict=True)))


class Estimate(NamedTuple):
    """The population in the basis' variables, and the priors it means for its languages.

    Attributes:
        mean, mean_cov: of mu, (p,) and (p, p).
        variance: of the languages around it, in rotated variables, (p,).
        prior_mean, prior_cov: each language's cavity prior, (L, p) and (L, p, p).
        freedom: how many languages tell each variance, in rotated variables, (p,).
    """

    mean: np.ndarray
    mean_cov: np.ndarray
    variance: np.ndarray
    prior_mean: np.ndarray
    prior_cov: np.ndarray
    freedom: np.ndarray


@dataclasses.dataclass(frozen=True)
class Basis:
    """The variables of the population step.

    Attributes:
        mean, sd: the prior of a language, in the solver's variables less its typical loss, (p,).
        rotation: orthonormal Q, rotated variables = Q' · variables, (p, p).
        free: which are estimated, (p,).
        fixed: rotated variable -> its variance in units of the prior's, where that is given.
        scale: the rotated variable that is the overall scale of the loss, if there is one.
    """

    mean: np.ndarray
    sd: np.ndarray
    rotation: np.ndarray
    free: np.ndarray
    fixed: Mapping[int, float]
    scale: int | None

    @classmethod
    def of(cls, law: Law, mean: np.ndarray, sd: np.ndarray, free: np.ndarray, pool: str) -> Basis:
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
        fixed = {} if scale is None else {scale: _SCALE}
        if pool == "full":
            fixed = {j: _SCALE if j in amplitudes else _SHARED for j in range(p)}
        return cls(mean, sd, rotation, free, fixed, scale)

    @property
    def variance(self) -> np.ndarray:
        """Of the prior in rotated variables, (p,): its diagonal, if amplitudes' sds differ."""
        return np.einsum("ji,j,ji->i", self.rotation, self.sd**2, self.rotation)

    def start(self) -> np.ndarray:
        """Variances between languages to begin with, (p,)."""
        return self.variance * np.where(self.free, 0.25, _LEAST)

    def estimate(self, messages: Messages, variance: np.ndarray) -> Estimate:
        """The population that messages in the basis' variables tell, from variances (p,)."""
        found = self._fixed_point(messages, variance, _INNER)
        low, high = variance / _TURN, variance * _TURN
        held = list(self.fixed)
        low[held], high[held] = 0.0, np.inf
        near = np.clip(found.variance, low, high)
        if not np.allclose(near, found.variance, rtol=1e-3):
            # No variance moves far on one linearisation.
            found = self._fixed_point(messages, near, 1)._replace(freedom=found.freedom)
        return found

    def _fixed_point(self, messages: Messages, variance: np.ndarray, steps: int) -> Estimate:
        q, weak = self.rotation, self.variance
        mean0 = q.T @ self.mean
        both = self.free[:, None] & self.free
        a = np.where(both, q.T @ messages.precision @ q, 0.0)
        b = np.where(self.free, messages.pull @ q, 0.0)
        count, p = b.shape
        freedom = np.zeros(p)
        fixed = [(j, share * weak[j]) for j, share in self.fixed.items()]
        for j, value in fixed:
            variance = np.where(np.arange(p) == j, value, variance)
        for step in range(steps):
            # A language's variance stays the weak prior's; the mean of the scales is learnt even
            # where the scales themselves are free.
            spare = np.maximum(weak - variance, (1 - _MOST) * weak)
            if self.scale is not None:
                spare[self.scale] = weak[self.scale]
            gain = np.linalg.inv(np.eye(p) + a * variance)
            told = _symmetric(gain @ a)  # (A^-1 + Sigma)^-1
            pulled = np.einsum("lij,lj->li", gain, b)
            precision = np.diag(1 / spare) + told.sum(axis=0)
            mean_cov = np.linalg.inv(precision)
            mean = mean_cov @ (mean0 / spare + pulled.sum(axis=0))
            if step == steps - 1:
                break
            posterior = _symmetric(variance[:, None] * gain)  # (A + Sigma^-1)^-1
            moved = posterior @ a
            off = np.einsum("lij,lj->li", posterior, b) - moved @ mean
            unsure = posterior + moved @ mean_cov @ np.swapaxes(moved, 1, 2)
            undecided = np.einsum("lii->i", unsure) / variance
            freedom = np.clip(count - undecided, 0, count)
            believed = _PSEUDO * _PSEUDO_SD**2 * weak + (off**2).sum(axis=0)
            variance = np.clip(believed / (_PSEUDO + freedom), _LEAST * weak, _MOST * weak)
            for j, value in fixed:
                variance[j] = value
        # Without the language's own message.
        cavity = np.linalg.inv(precision - told)
        others = mean0 / spare + pulled.sum(axis=0) - pulled
        prior_mean = np.einsum("lij,lj->li", cavity, others)
        prior_cov = cavity + np.diag(variance)
        return Estimate(
            q @ mean,
            q @ mean_cov @ q.T,
            variance,
            prior_mean @ q.T,
            _symmetric(q @ prior_cov @ q.T),
            _PSEUDO + freedom,
        )

    def describe(
        self, law: Law, found: Estimate, pool: str, languages: int, noise: float
    ) -> Population:
        """What there is to say of an estimate; rounds are the caller's to fill in."""
        q, weak = self.rotation, self.variance
        spread = np.einsum("ij,j,ij->i", q, found.variance, q)
        rho = found.variance / weak
        if self.scale is not None:
            # Of the terms' sizes relative to one another: what the scale alone leaves.
            contrast = found.variance.copy()
            contrast[self.scale] = 0.0
            k = int(np.count_nonzero(q[:, self.scale]))
            amplitudes = np.flatnonzero(q[:, self.scale])
            relative = np.einsum("ij,j,ij->i", q, contrast, q)[amplitudes]
            own = np.mean(weak[amplitudes])
            rho[amplitudes] = relative / own * (k / (k - 1)) if k > 1 else _SCALE
        return Population(
            pool=pool,
            names=law.names,
            fitted=self.free.copy(),
            mean=found.mean,
            mean_sd=np.sqrt(np.diagonal(found.mean_cov)),
            sd=np.sqrt(spread),
            rho=np.clip(rho, 0.0, 1.0),
            languages=languages,
            noise=noise,
            rounds=0,
            settled=False,
        )


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return (matrix + np.swapaxes(matrix, -1, -2)) / 2
