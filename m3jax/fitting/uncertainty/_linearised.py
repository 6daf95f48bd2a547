"""A fit to first order around its optimum: curvature, leverage, and the sandwich covariance.

The fit minimises, over the solver's variables x,

    F(x) = Σ_i w_i ρ(e_i(x)) + λ/2 (x − m)' P (x − m)

with ρ the Huber loss, e_i the residual of the log loss of run i, and λ, m, P the prior's weight,
mean and precision: an M-estimator. Its covariance is estimated as of any other, by the sandwich
(Huber 1967, White 1980), clustered by run (Liang and Zeger 1986) and corrected for few runs by
deleted residuals (HC3, MacKinnon and White 1985; CR3, Bell and McCaffrey 2002).
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from ...laws import Law
from ...recipe import Recipe
from ..engine import robust_sd
from ..problem import ParameterSpace
from ._robust import inverse_of_free, normal_cdf

_DOWNWEIGHTED = 2.5  # robust standard deviations beyond which a run's leverage falls
_LEAST_REMAINDER = 0.02  # least of 1 − leverage: a run that nothing else checks stays finite


@dataclasses.dataclass(frozen=True)
class Linearised:
    """One language's best fit, to first order in the solver's centred variables x.

    Only runs with weight are held, n of them. Of p coefficients the held ones have zero columns.

    Attributes:
        law: the law.
        recipe: of the runs, NumPy leaves (n,).
        position: of the runs in the run table, (n,).
        log_loss: measured, (n,).
        residual: predicted minus measured log loss, (n,).
        jacobian: of the residual with respect to x, (n, p).
        weight: (n,).
        cluster: (n,), the same number for checkpoints of one run.
        theta: (p,).
        free: (p,) bool.
        space: what x is.
        delta: of the Huber loss.
        prior_mean, prior_precision: the prior on x, (p,) and its inverse covariance (p, p), zero
            where it has no say.
        prior_weight: what the objective weighs it by.
    """

    law: Law
    recipe: Recipe
    position: np.ndarray
    log_loss: np.ndarray
    residual: np.ndarray
    jacobian: np.ndarray
    weight: np.ndarray
    cluster: np.ndarray
    theta: np.ndarray
    free: np.ndarray
    space: ParameterSpace
    delta: float
    prior_mean: np.ndarray
    prior_precision: np.ndarray
    prior_weight: float

    def recentred(self, space: ParameterSpace) -> Linearised:
        """The same in the variables of another space of this law."""
        change = np.linalg.inv(self.space.centre) @ space.centre
        both = self.free & self.free[:, None]
        return dataclasses.replace(
            self,
            space=space,
            jacobian=(self.jacobian @ change) * self.free,
            prior_mean=space.to_x(self.space.centre @ self.prior_mean),
            prior_precision=np.where(both, change.T @ self.prior_precision @ change, 0.0),
        )

    @cached_property
    def group(self) -> np.ndarray:
        """Clusters numbered 0, 1, ..., (n,)."""
        numbers: np.ndarray = np.unique(self.cluster, return_inverse=True)[1]
        return numbers

    @cached_property
    def n_clusters(self) -> int:
        """Independent runs."""
        return int(self.group.max()) + 1

    @cached_property
    def has_prior(self) -> bool:
        """Whether any prior had a say."""
        return self.prior_weight > 0 and bool(np.any(self.prior_precision))

    @cached_property
    def prior_sd(self) -> np.ndarray:
        """Standard deviation of each x under the prior, of the weak one if there was none, (p,)."""
        if not self.has_prior:
            return self.space.prior_sd
        return np.sqrt(np.diagonal(inverse_of_free(self.prior_precision, self.free)))

    @cached_property
    def effective_parameters(self) -> int:
        """How many numbers the fit took from the runs: the free ones, less what the prior gave.

        tr[J'J (J'J + σ² P)⁻¹], rounded, as for ridge regression; σ is the scatter of the residuals.
        """
        if not self.has_prior:
            return int(self.free.sum())
        variance = robust_sd(self.residual, int(self.free.sum())) ** 2
        information = self.jacobian.T @ self.jacobian
        inverse = inverse_of_free(information + variance * self.prior_precision, self.free)
        return round(float(np.trace(information @ inverse)))

    @cached_property
    def noise_sd(self) -> float:
        """Robust standard deviation of the residuals, see `robust_sd`."""
        return robust_sd(self.residual, self.effective_parameters)

    @cached_property
    def degrees_of_freedom(self) -> int:
        """Independent runs beyond the effective parameters, at least 1."""
        return max(self.n_clusters - self.effective_parameters, 1)

    @cached_property
    def curvature_weight(self) -> np.ndarray:
        """Each run's weight in the curvature of the objective, w_i E[ρ''(e_i)], (n,).

        ρ'' of the Huber loss is 1 within delta and 0 beyond; the expectation is over the scatter of
        the runs. Where delta is smaller than the noise, counting runs within it fails: the fit
        passes through as many runs as it has coefficients, which would count as agreement. So those
        are left out, and the density of the others around zero, smoothed by a normal kernel over
        the noise, is integrated over delta. Runs share the mean by how close they lie (the kernel
        of Powell 1991), which lets the noise differ from run to run.
        """
        n, width = len(self.residual), 0.9 * self.noise_sd
        others = np.sort(np.abs(self.residual))[min(self.effective_parameters, n - 1) :]
        mean = float(np.mean(self._share_within_delta(others, width * len(others) ** -0.2)))
        shares = self._share_within_delta(self.residual, 2 * width * n**-0.2)
        return self.weight * shares * mean / max(float(np.mean(shares)), 1e-300)

    def _share_within_delta(self, residual: np.ndarray, width: float) -> np.ndarray:
        """Share within ±delta of a normal distribution around each residual, sd `width`."""
        above = normal_cdf((self.delta - residual) / width)
        return above - normal_cdf((-self.delta - residual) / width)

    def prediction_variance(self, covariance_x: np.ndarray) -> np.ndarray:
        """Variance J_i C J_i' of the predicted log loss of each run, of C (p, p): (n,)."""
        return np.einsum("ij,jk,ik->i", self.jacobian, covariance_x, self.jacobian)

    @cached_property
    def inverse_hessian(self) -> np.ndarray:
        """Inverse curvature of the objective in x, (p, p), zero where held.

        H = Σ_i w_i E[ρ''(e_i)] J_i' J_i + λ P. Gauss–Newton: second derivatives of the law, which
        are multiplied by residuals that average out, are left out.
        """
        hessian = (self.jacobian.T * self.curvature_weight) @ self.jacobian
        hessian += self.prior_weight * self.prior_precision
        return inverse_of_free(hessian, self.free)

    @cached_property
    def leverage(self) -> np.ndarray:
        """How far each run's own loss decides its prediction, 0 to 1, (n,).

        The diagonal of the hat matrix of weighted least squares, h_i = v_i J_i (J'VJ + P)⁻¹ J_i'.
        V has Huber's weights, so that leverage tells of the design alone but for runs far out,
        which have little say.
        """
        excess = np.abs(self.residual) / (_DOWNWEIGHTED * self.noise_sd)
        weight = self.weight / np.mean(self.weight) / np.maximum(excess, 1.0) / self.noise_sd**2
        inverse = inverse_of_free(
            (self.jacobian.T * weight) @ self.jacobian + self.prior_precision, self.free
        )
        return np.clip(weight * self.prediction_variance(inverse), 0.0, 1.0)

    @cached_property
    def deleted_residual(self) -> np.ndarray:
        """Residual of each run against the fit without it, to first order, (n,).

        e_i / (1 − h_i) with h_i = c_i J_i H⁻¹ J_i' and c the curvature weights; of a cluster of
        several checkpoints C^-½ (I − C^½ J H⁻¹ J' C^½)⁻¹ C^½ e, all of them left out together.
        """
        hat = self.curvature_weight * self.prediction_variance(self.inverse_hessian)
        out = self.residual / np.maximum(1 - hat, _LEAST_REMAINDER)
        for shared in np.flatnonzero(np.bincount(self.group) > 1):
            rows = np.flatnonzero(self.group == shared)
            root, jacobian = np.sqrt(self.curvature_weight[rows]), self.jacobian[rows]
            block = root[:, None] * (jacobian @ self.inverse_hessian @ jacobian.T) * root
            values, vectors = np.linalg.eigh(block)
            inverse = vectors / np.maximum(1 - values, _LEAST_REMAINDER) @ vectors.T
            safe = np.where(root > 0, root, 1.0)
            deleted = inverse @ (root * self.residual[rows]) / safe
            out[rows] = np.where(root > 0, deleted, out[rows])
        return out

    def theta_without_each(self) -> np.ndarray:
        """Coefficients of the fit without each cluster, by one Newton step, (G, p).

        x − H₋g⁻¹ ∇F₋g at the optimum of all, where ∇F₋g = −Σ_g w_i ρ'(e_i) J_i and H₋g has the
        curvature of the other runs (Pregibon 1981); held within the bounds of the coefficients.
        """
        outer = self.curvature_weight[:, None, None] * (
            self.jacobian[:, :, None] * self.jacobian[:, None, :]
        )
        pull = self.weight * np.clip(self.residual, -self.delta, self.delta)
        gradient = pull[:, None] * self.jacobian
        whole = outer.sum(axis=0) + self.prior_weight * self.prior_precision
        x, steps = self.space.to_x(self.theta), []
        for g in range(self.n_clusters):
            rows = self.group == g
            without = inverse_of_free(whole - outer[rows].sum(axis=0), self.free)
            steps.append(without @ gradient[rows].sum(axis=0))
        moved = np.clip(x + np.stack(steps), self.space.lower, self.space.upper)
        return np.where(self.free, moved @ self.space.centre.T, self.theta)

    @cached_property
    def score(self) -> np.ndarray:
        """Gradient of each run's Huber loss at its deleted residual, w_i ρ'(ẽ_i) J_i, (n, p)."""
        influence = self.weight * np.clip(self.deleted_residual, -self.delta, self.delta)
        return influence[:, None] * self.jacobian

    @cached_property
    def covariance_x(self) -> np.ndarray:
        """Cluster-robust sandwich covariance of x, (p, p).

        H⁻¹ (Σ_g s_g s_g' + λ² P) H⁻¹, s_g the sum of the scores of a cluster's runs at deleted
        residuals (HC3; CR3 for clusters). The prior counts as one more observation of variance P⁻¹,
        so that what only the prior decides is as unsure as the prior is.
        """
        summed = np.zeros((self.n_clusters, self.score.shape[1]))
        np.add.at(summed, self.group, self.score)
        outer = summed.T @ summed + self.prior_weight**2 * self.prior_precision
        return self.inverse_hessian @ outer @ self.inverse_hessian

    @cached_property
    def covariance(self) -> np.ndarray:
        """The same of theta = centre @ x, by the delta method: centre · C · centre', (p, p)."""
        return self.space.centre @ self.covariance_x @ self.space.centre.T
