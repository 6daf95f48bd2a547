"""What the draws of a fit believe, and what further runs would change in it.

Runs are judged by what the draws predict for them, not by a linearised law: the covariance of the
predictions is that of a linear-Gaussian update (as in an ensemble Kalman filter, Evensen 2003),
and holds where a coefficient's logarithm is open over decades and a derivative would not.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np

from ..computing import array_namespace
from ..fitting import predict
from ..laws import Law
from ..recipe import Array, Recipe

_BELIEF_FOLDS = 5


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Belief:
    """B draws of the coefficients, and what is at stake under each.

    Attributes:
        theta: draws, (B, p).
        noise: standard deviation of a run's log loss, ().
        stake: log loss of the M recipes that may be chosen for each of Q questions, (Q, M, B).
        own: log loss of each draw's own best recipe, (Q, B).
        normal: standard normal numbers that expectations are taken over, (S, n).
        law: the law.
    """

    theta: np.ndarray
    noise: Array
    stake: np.ndarray
    own: np.ndarray
    normal: np.ndarray
    law: Law = dataclasses.field(metadata={"static": True})

    def signal(self, recipe: Recipe) -> Array:
        """What runs (n,) would tell, (n, B): predicted log losses, in units of the noise.

        Centred over the draws and divided by √(B − 1): their products are covariances.
        """
        logs = self._log_losses(recipe)
        centred = logs - logs.mean(axis=-1, keepdims=True)
        return centred / (self.noise * math.sqrt(len(self.theta) - 1))

    def mean_log_loss(self, recipe: Recipe) -> Array:
        """Mean log loss of runs (n,) over the draws."""
        return self._log_losses(recipe).mean(axis=-1)

    def _log_losses(self, recipe: Recipe) -> Array:
        if array_namespace(*jax.tree.leaves(recipe)) is np:
            return np.log(predict(self.law, self.theta, recipe)).T
        return jax.vmap(lambda t: self.law.log_loss_theta(t, recipe), out_axes=-1)(self.theta)

    def information(self, signal: Array) -> Array:
        """log det of the coefficients' precision after runs (n, B), less what it is now.

        That is log det(I + J Σ Jᵀ/σ²) over the runs, which holds for a singular Σ too.
        """
        xp = array_namespace(signal)
        root = xp.linalg.cholesky(_marginal(signal))
        return 2 * xp.sum(xp.log(xp.diagonal(root)))

    def expected_gain(self, signal: Array) -> Array:
        """Expected fall of the loss at what is chosen, after runs (n, B); nats, mean of questions.

        The posterior means of the log losses at stake move by A·ξ, ξ standard normal, and the
        lowest is chosen then: the value of information of Raiffa and Schlaifer, 1961 (for many
        choices that go together, the knowledge gradient of Frazier, Powell and Dayanik, 2009).
        """
        xp = array_namespace(signal)
        root = xp.linalg.cholesky(_marginal(signal))
        mean, less = self.choices()
        centred = less - xp.mean(less, axis=-1, keepdims=True)
        joint = xp.einsum("qmb,nb->nqm", centred, signal) / math.sqrt(len(self.theta) - 1)
        n = signal.shape[0]
        a = _solve_lower(root, joint.reshape(n, -1))
        moved = (self.normal @ a).reshape(-1, *joint.shape[1:])
        fall = -xp.mean(xp.min(xp.mean(less, axis=-1) + moved, axis=-1), axis=0)
        return xp.mean(xp.exp(mean) * fall)

    def choices(self) -> tuple[Array, Array]:
        """Mean log loss at what would be chosen now, (Q,), and the others' less it, (Q, M, B).

        What all have in common drops out.
        """
        xp = array_namespace(self.stake)
        mean = xp.mean(self.stake, axis=-1)
        now = xp.argmin(mean, axis=-1)
        best = xp.take_along_axis(self.stake, now[:, None, None], axis=1)
        return xp.min(mean, axis=-1), self.stake - best


def _solve_lower(root: Array, right: Array) -> Array:
    """x of root @ x = right, for a lower triangular root."""
    if array_namespace(root) is np:
        return np.linalg.solve(root, right)
    return jax.scipy.linalg.solve_triangular(root, right, lower=True)


def _marginal(signal: Array) -> Array:
    return array_namespace(signal).eye(signal.shape[0]) + signal @ signal.T


def expected_regret(
    belief: Belief, signal: np.ndarray, seed: int, repeats: int = 20
) -> tuple[float, float]:
    """Expected regret of what is chosen now, and after runs signal (n, B); nats, mean of questions.

    By simulation, each draw being the truth in turn: it gives the runs' losses, with noise, these
    move the mean log losses at stake by a linear update learned from the other draws (a fifth is
    left out at a time), and the lowest is chosen. Regret is what that one loses under the draw to
    the draw's own best. Nothing is taken to be normal but the noise.
    """
    stake, own = np.exp(belief.stake), np.exp(belief.own)
    count = signal.shape[1]
    rng = np.random.default_rng([seed, 2])
    fold = rng.permutation(count) % min(_BELIEF_FOLDS, count)
    before, after = np.zeros(count), np.zeros(count)
    for out in range(fold.max() + 1):
        test = np.flatnonzero(fold == out)
        rest = np.flatnonzero(fold != out)
        scale = math.sqrt(count - 1) / math.sqrt(max(len(rest) - 1, 1))
        mean_signal = signal[:, rest].mean(axis=1, keepdims=True)
        x = (signal[:, rest] - mean_signal) * scale
        mean = belief.stake[..., rest].mean(axis=-1)
        joint = (belief.stake[..., rest] - mean[..., None]) @ x.T / math.sqrt(max(len(rest) - 1, 1))
        gain = joint @ np.linalg.inv(np.eye(len(signal)) + x @ x.T)  # (Q, M, n)
        noise = rng.standard_normal((repeats, len(signal), len(test)))
        seen = (signal[:, test] - mean_signal) * math.sqrt(count - 1) + noise
        moved = np.einsum("qmn,rnb->rqmb", gain, seen)
        chosen = np.argmin(mean[..., None] + moved, axis=2)  # (repeats, Q, b)
        lost = np.take_along_axis(stake[None, :, :, test], chosen[:, :, None], axis=2)[:, :, 0]
        after[test] = np.mean(lost - own[:, test], axis=(0, 1))
        now = np.argmin(mean, axis=-1)[:, None, None]
        lost_now = np.take_along_axis(stake[..., test], now, axis=1)[:, 0]
        before[test] = np.mean(lost_now - own[:, test], axis=0)
    return max(float(before.mean()), 0.0), max(float(after.mean()), 0.0)


def normals(samples: int, runs: int, seed: int) -> np.ndarray:
    """Standard normal numbers (samples, runs), each with its opposite."""
    half = np.random.default_rng([seed, 1]).standard_normal((samples // 2, runs))
    return np.concatenate([half, -half])
