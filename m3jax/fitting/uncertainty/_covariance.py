"""How sure the coefficients are, from the scatter of the runs at the best fit: the delta method."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from statistics import NormalDist

import jax
import numpy as np

from ..._errors import M3Error
from ...laws import Law
from ...recipe import Array, Recipe
from ...runs import RunTable
from .._fits import Fits
from ..problem import ParameterSpace

_TRUSTED = 2.5  # robust standard deviations beyond which a run's leverage falls
_ALONE = 0.02  # least of 1 − leverage, so that a run that nothing else checks stays finite
_EXACT = 1e-9  # scatter of log losses below which it is rounding
_SINGULAR = 1e-12  # of the standardised curvature: below it a direction is as good as unknown
_MISMATCH = 0.01  # relative difference of the objective that tells other runs from rounding


@dataclasses.dataclass(frozen=True)
class Linearised:
    """One language's best fit, to first order in the solver's centred variables x.

    Only runs with weight are held, n of them. Of p coefficients the held ones have zero columns.

    Attributes:
        law: the law.
        recipe: of the runs, NumPy leaves (n,).
        place: of the runs in the run table, (n,).
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
    place: np.ndarray
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

    @cached_property
    def n_clusters(self) -> int:
        """Independent runs."""
        return len(np.unique(self.cluster))

    @cached_property
    def has_prior(self) -> bool:
        """Whether any prior had a say."""
        return self.prior_weight > 0 and bool(np.any(self.prior_precision))

    @cached_property
    def prior_sd(self) -> np.ndarray:
        """How sure the prior is of each x, without one how sure the weak one would be, (p,)."""
        if not self.has_prior:
            return self.space.prior_sd
        return np.sqrt(np.diagonal(_inverse_of(self.prior_precision, self.free)))

    @cached_property
    def decided(self) -> int:
        """How many numbers the fit took from the runs: the free ones, less what the prior gave."""
        if not self.has_prior:
            return int(self.free.sum())
        variance = _scatter(self.residual, int(self.free.sum())) ** 2
        info = self.jacobian.T @ self.jacobian
        inverse = _inverse_of(info + variance * self.prior_precision, self.free)
        return round(float(np.trace(info @ inverse)))

    @cached_property
    def scale(self) -> float:
        """Robust standard deviation of the residuals."""
        return _scatter(self.residual, self.decided)

    @cached_property
    def spare(self) -> int:
        """Independent runs beyond the numbers taken from them, at least 1."""
        return max(self.n_clusters - self.decided, 1)

    @cached_property
    def pull(self) -> np.ndarray:
        """Each run's weight in the curvature of the objective, (n,).

        That is the second derivative of the Huber loss, 1 within delta and 0 beyond, expected over
        the scatter of the runs. Where delta is smaller than the noise, counting runs within it
        fails: the fit passes through as many runs as it has coefficients, which would count as
        agreement. So those are left out, and the density of the others around zero, smoothed over
        the noise, is what is integrated over delta. Runs share the mean by how close they lie (the
        kernel of Powell 1991), which lets the noise differ from run to run.
        """
        n, width = len(self.residual), 0.9 * self.scale
        others = np.sort(np.abs(self.residual))[min(self.decided, n - 1) :]
        mean = float(np.mean(self._within(others, width * len(others) ** -0.2)))
        shares = self._within(self.residual, 2 * width * n**-0.2)
        return self.weight * shares * mean / max(float(np.mean(shares)), 1e-300)

    def _within(self, residual: np.ndarray, width: float) -> np.ndarray:
        """Share within delta of a normal distribution around each residual."""
        return _normal((self.delta - residual) / width) - _normal((-self.delta - residual) / width)

    def _spread(self, matrix: np.ndarray) -> np.ndarray:
        return np.einsum("ij,jk,ik->i", self.jacobian, matrix, self.jacobian)

    @cached_property
    def inverse_hessian(self) -> np.ndarray:
        """Inverse curvature of the objective in x, prior included, (p, p), zero where held.

        Gauss–Newton: second derivatives of the law meet residuals that sum to nothing.
        """
        hessian = (self.jacobian.T * self.pull) @ self.jacobian
        hessian += self.prior_weight * self.prior_precision
        return _inverse_of(hessian, self.free)

    @cached_property
    def leverage(self) -> np.ndarray:
        """Diagonal of the hat matrix: how far each run's own loss decides its prediction, (n,).

        Of weighted least squares with Huber's weights, so that it tells of the design alone but for
        runs far out, which have little say.
        """
        far = np.abs(self.residual) / (_TRUSTED * self.scale)
        weight = self.weight / np.mean(self.weight) / np.maximum(far, 1.0) / self.scale**2
        inverse = _inverse_of(
            (self.jacobian.T * weight) @ self.jacobian + self.prior_precision, self.free
        )
        return np.clip(weight * self._spread(inverse), 0.0, 1.0)

    @cached_property
    def deleted(self) -> np.ndarray:
        """Residual of each run against the fit to the other runs, to first order, (n,)."""
        own_say = self.pull * self._spread(self.inverse_hessian)
        out = self.residual / np.maximum(1 - own_say, _ALONE)
        _, group, size = np.unique(self.cluster, return_inverse=True, return_counts=True)
        for shared in np.flatnonzero(size > 1):
            # Checkpoints of one run are left out together.
            rows = np.flatnonzero(group == shared)
            root, own = np.sqrt(self.pull[rows]), self.jacobian[rows]
            hat = root[:, None] * (own @ self.inverse_hessian @ own.T) * root
            values, vectors = np.linalg.eigh(hat)
            grown = vectors / np.maximum(1 - values, _ALONE) @ vectors.T
            safe = np.where(root > 0, root, 1.0)
            out[rows] = np.where(root > 0, grown @ (root * self.residual[rows]) / safe, out[rows])
        return out

    @cached_property
    def score(self) -> np.ndarray:
        """Gradient of each run's Huber loss, taken at its deleted residual, (n, p)."""
        influence = self.weight * np.clip(self.deleted, -self.delta, self.delta)
        return influence[:, None] * self.jacobian

    @cached_property
    def covariance_x(self) -> np.ndarray:
        """Sandwich covariance of x, (p, p).

        Between two inverse Hessians stand the outer products of the scores, summed within each
        cluster first. Residuals are those of the fit without the cluster, which is the correction
        for few runs (in least squares, HC3 and CR3). The prior counts as one more observation a
        coefficient, so that what only the prior decides is as unsure as the prior is.
        """
        _, group = np.unique(self.cluster, return_inverse=True)
        summed = np.zeros((group.max() + 1, self.score.shape[1]))
        np.add.at(summed, group, self.score)
        outer = summed.T @ summed + self.prior_weight**2 * self.prior_precision
        return self.inverse_hessian @ outer @ self.inverse_hessian

    @cached_property
    def covariance(self) -> np.ndarray:
        """The same of theta."""
        return self.space.centre @ self.covariance_x @ self.space.centre.T


def covariance(fits: Fits, runs: RunTable, language: str | None = None) -> np.ndarray:
    """Covariance (p, p) of theta (see `Law.from_theta`) at the best fit of one language.

    The sandwich of an M-estimator, clustered by `run_id`, prior included. Coefficients that are
    held have zero variance. One that is at a bound counts as if it could move both ways.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        language: may be left out where there is only one.

    Raises `M3Error` for runs that the fit was not made from, or a language that was not fitted.
    """
    return _linearise_one(fits, runs, language).covariance


def delta_interval(
    fits: Fits,
    runs: RunTable,
    function: Callable[[Array], Array],
    language: str | None = None,
    level: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Interval (low, high) of anything derived from the coefficients, by the delta method.

    `function` takes theta (p,) to an array of any shape and is differentiated by JAX; for a loss,
    say, `lambda theta: law.log_loss_theta(theta, recipe)`. The interval is symmetric around its
    value at the best fit: give it the logarithm of what must stay positive.

    Args:
        fits: from `fit`.
        runs: the table it was fitted to.
        function: written with `jax.numpy`.
        language: may be left out where there is only one.
        level: of the interval; default that of the fits.

    Raises `M3Error` as `covariance` does, on a level outside (0, 1), and if the function or its
    derivative is not finite.
    """
    level = float(fits.settings["level"]) if level is None else level
    if not 0 < level < 1:
        raise M3Error(f"level: expected a number between 0 and 1, got {level}")
    one = _linearise_one(fits, runs, language)
    with jax.enable_x64(True):
        theta = jax.numpy.asarray(one.theta)
        value = np.asarray(function(theta), dtype=np.float64)
        slope = np.asarray(jax.jacfwd(function)(theta), dtype=np.float64)
    if not (np.all(np.isfinite(value)) and np.all(np.isfinite(slope))):
        raise M3Error("function: it or its derivative is not finite at the best fit")
    variance = np.einsum("...i,ij,...j->...", slope, one.covariance, slope)
    half = student_quantile((1 + level) / 2, one.spare) * np.sqrt(np.maximum(variance, 0.0))
    return value - half, value + half


def check_languages(fits: Fits, runs: RunTable) -> None:
    """Raise `M3Error` unless the table holds exactly the languages of the fits."""
    known = {*fits.languages, *fits.failed}
    for name in sorted(known - set(runs.languages)):
        raise M3Error(f"{runs.source}: no runs of {name!r}, which the fits hold")
    for name in sorted(set(runs.languages) - known):
        raise M3Error(f"{runs.source}: runs of {name!r}, which the fits do not hold")


def linearise(fits: Fits, runs: RunTable, languages: Iterable[str]) -> list[Linearised]:
    """The fits of some fitted languages at their optimum, in one batch.

    Raises `M3Error` if their runs are not those that the fits were made from.
    """
    names = tuple(languages)
    if not names:
        return []
    batch = runs.batch(languages=names)
    which = [fits.index(name) for name in names]
    counts = batch.mask.sum(axis=1)
    for name, i, count in zip(names, which, counts.tolist(), strict=True):
        if count != fits.n_runs[i]:
            raise M3Error(
                f"{runs.source}, language {name!r}: found {count} runs, the fit was made from"
                f" {fits.n_runs[i]}"
            )
    # Repeat the last language up to a power of two, so that few shapes are ever compiled.
    full = np.minimum(np.arange(1 << (len(names) - 1).bit_length()), len(names) - 1)
    recipe = jax.tree.map(lambda leaf: leaf[full], batch.recipe)
    with jax.enable_x64(True):
        predicted, jacobians = map(
            np.asarray, _linear(fits.law, fits.theta[np.array(which)[full]], recipe)
        )
    delta = float(fits.settings["huber_delta"])
    out = []
    for i, (name, j) in enumerate(zip(names, which, strict=True)):
        real, free = batch.mask[i], ~fits.frozen[j]
        log_loss = np.log(batch.loss[i][real])
        own = jax.tree.map(lambda leaf, i=i, real=real: leaf[i][real], batch.recipe)
        space = ParameterSpace.of(fits.law, own, float(log_loss.mean()), free)
        weight = batch.weight[i][real]
        residual = predicted[i][real] - log_loss
        misfit = float(np.sum(weight * _huber(residual, delta)))
        _check_objective(runs.source, name, misfit, float(fits.objective[j]))
        if not np.all(np.isfinite(jacobians[i][real])):
            raise M3Error(f"language {name!r}: law {fits.law.name} has no derivative at its fit")
        used = weight > 0
        jacobian = (jacobians[i][real] @ space.centre) * free
        both = free & free[:, None]
        precision = space.centre.T @ fits.prior_precision[j] @ space.centre
        out.append(
            Linearised(
                law=fits.law,
                recipe=jax.tree.map(lambda leaf, used=used: leaf[used], own),
                place=np.flatnonzero(runs.language == name)[used],
                log_loss=log_loss[used],
                residual=residual[used],
                jacobian=jacobian[used],
                weight=weight[used],
                cluster=batch.cluster[i][real][used],
                theta=fits.theta[j],
                free=free,
                space=space,
                delta=delta,
                prior_mean=space.to_x(fits.prior_mean[j]),
                prior_precision=np.where(both, precision, 0.0),
                prior_weight=float(fits.prior_weight[j]),
            )
        )
    return out


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t (Abramowitz and Stegun 26.7.5); a little low below 3 degrees."""
    z, v = NormalDist().inv_cdf(probability), float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def _linearise_one(fits: Fits, runs: RunTable, language: str | None) -> Linearised:
    name = fits.languages[fits.index(language)]
    return linearise(fits, runs, [name])[0]


@partial(jax.jit, static_argnames="law")
def _linear(law: Law, theta: Array, recipe: Recipe) -> tuple[Array, Array]:
    """Log losses (L, n) and their derivatives (L, n, p) at theta (L, p)."""

    def one(theta: Array, recipe: Recipe) -> tuple[Array, Array]:
        def predict(theta: Array) -> Array:
            return law.log_loss_theta(theta, recipe)

        return predict(theta), jax.jacfwd(predict)(theta)

    return jax.vmap(one)(theta, recipe)


def _check_objective(source: str, name: str, found: float, expected: float) -> None:
    if abs(found - expected) > _MISMATCH * max(found, expected) + 1e-9 or not np.isfinite(found):
        raise M3Error(
            f"{source}, language {name!r}: as many runs as the fit was made from, but not the same:"
            f" its objective is {expected:.6g} and on these runs {found:.6g}; give the table, names"
            " and units of the fit"
        )


def _huber(residual: np.ndarray, delta: float) -> np.ndarray:
    # `_objective.huber` in NumPy: too little to compile for.
    near = np.minimum(np.abs(residual), delta)
    return near * (np.abs(residual) - near / 2)


def _scatter(residual: np.ndarray, decided: int) -> float:
    """Robust standard deviation, from the median of the absolute residuals.

    A fit by absolute values passes through as many runs as it has coefficients: those residuals
    say nothing and are left out.
    """
    sizes = np.sort(np.abs(residual))
    kept = sizes[min(decided, len(sizes) - 1) :]
    return max(1.4826 * float(np.median(kept)), _EXACT)


def _inverse_of(matrix: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Inverse among the free coefficients, zero elsewhere."""
    out = np.zeros_like(matrix)
    rows = np.flatnonzero(free)
    if len(rows):
        out[np.ix_(rows, rows)] = _inverse(matrix[np.ix_(rows, rows)])
    return out


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a symmetric matrix >= 0; what is singular comes out large, not infinite."""
    diagonal = np.diagonal(matrix)
    size = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(matrix / size / size[:, None])
    floor = _SINGULAR * max(float(values[-1]), 1.0)
    return (vectors / np.maximum(values, floor)) @ vectors.T / size / size[:, None]


def _normal(z: np.ndarray) -> np.ndarray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in z.tolist()])
