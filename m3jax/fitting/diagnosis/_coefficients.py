"""How well the runs determine each coefficient."""

from __future__ import annotations

import numpy as np

from ... import formatting
from ...laws import Law, LogSpaceLaw
from ...variables import RUN_VARIABLES
from .._fits import Fits
from ..problem import Scope, bounds_reached
from ..uncertainty import Linearised
from ._correlation import CONFOUNDED
from ._diagnosis import CoefficientDiagnosis

# Share of what is known about a coefficient that the runs, not the prior, tell.
_WELL, _WEAKLY = 0.9, 0.25
_MOST_CONDITION = 1e16  # condition number that stands for singular
_SDS_OF_90_PERCENT = 3.2897072539029444  # between the 5% and the 95% quantile of a normal

# Why a coefficient is held that no variable's lack of variation explains.
INDISTINCT = "these runs do not tell it from the others"


def coefficient_diagnoses(
    fits: Fits, i: int, linearised: Linearised
) -> tuple[CoefficientDiagnosis, ...]:
    """Of every coefficient of language number `i`, in the law's order."""
    # Where the law bends within the scatter of a coefficient, the bootstrap sees it and the delta
    # method does not: the larger of both standard errors counts.
    error, error_x = (
        np.sqrt(np.maximum(np.diagonal(c), 0.0))
        for c in (linearised.covariance, linearised.covariance_x)
    )
    if fits.draws.shape[1]:
        draws_x = np.linalg.solve(linearised.space.centre, fits.draws[i].T).T
        error = np.maximum(error, _sd_from_quantiles(fits.draws[i]))
        error_x = np.maximum(error_x, _sd_from_quantiles(draws_x))
    correlation = correlations(linearised)
    x = linearised.space.to_x(linearised.theta)
    return tuple(
        _fitted(fits.law, linearised, j, x[j], float(error[j]), error_x[j], correlation[j])
        if linearised.free[j]
        else _held(fits, i, linearised, j)
        for j in range(len(fits.law.names))
    )


def _held(fits: Fits, i: int, linearised: Linearised, j: int) -> CoefficientDiagnosis:
    c = fits.law.coefficients[j]
    fixed = c.name in fits.settings["fixed"]
    reason = "by you" if fixed else why_held(fits.law, c.name, fits.scopes[i])
    return CoefficientDiagnosis(
        name=c.name,
        value=_value(fits.law, linearised, j),
        log=c.log,
        standard_error=None,
        determined="fixed" if fixed else "not",
        share=None,
        confounded_with=(),
        bound="",
        note=f"held: {reason}",
    )


def _fitted(
    law: Law,
    linearised: Linearised,
    j: int,
    x: float,
    error: float,
    error_x: float,
    correlation: np.ndarray,
) -> CoefficientDiagnosis:
    """From x_j, standard errors of theta_j and x_j, and the correlations with the others (p,)."""
    c = law.coefficients[j]
    share = 1 - (error_x / max(linearised.prior_sd[j], 1e-9)) ** 2
    confounded = [
        (law.names[k], float(correlation[k]))
        for k in np.flatnonzero(np.abs(correlation) > CONFOUNDED)
        if k != j
    ]
    typical = np.mean(linearised.log_loss)[None]
    reached = [words for words, at in bounds_reached(law, j, np.array([x]), typical) if at[0]]
    bound = reached[0] if reached else ""
    notes = [bound] if bound else []
    if isinstance(law, LogSpaceLaw) and c.name in law.terms and not bound:
        size = f"{formatting.ratio(float(np.exp(x)))} nats"
        notes.append(f"{size} mid-runs, ×/÷ {np.exp(min(error_x, 99.0)):.3g}")
    if confounded:
        names = formatting.enumeration([name for name, _ in confounded])
        notes.append(f"goes with {names} (correlation {confounded[0][1]:.2f})")
    return CoefficientDiagnosis(
        name=c.name,
        value=_value(law, linearised, j),
        log=c.log,
        standard_error=error,
        determined=_label(float(share), linearised.has_prior),
        share=float(np.clip(share, 0.0, 1.0)),
        confounded_with=tuple(confounded),
        bound=bound,
        note="; ".join(notes),
    )


def _value(law: Law, linearised: Linearised, j: int) -> float:
    theta = linearised.theta[j]
    return float(np.exp(theta) if law.coefficients[j].log else theta)


def _label(share: float, has_prior: bool) -> str:
    if share >= _WELL:
        return "well"
    if share >= _WEAKLY:
        return "weakly"
    return "prior only" if has_prior else "not"


def why_held(law: Law, name: str, scope: Scope) -> str:
    """In words, why the fit held a coefficient."""
    needs = law.coefficients[law.names.index(name)].needs
    constant = [v for v in RUN_VARIABLES if v in needs and v not in scope.varies]
    return scope.constant(constant[0]) if constant else INDISTINCT


def _sd_from_quantiles(draws: np.ndarray) -> np.ndarray:
    """Standard deviation (p,) of draws (B, p), few of them far out: (q95 − q5) / 3.29."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return (high - low) / _SDS_OF_90_PERCENT


def correlations(linearised: Linearised) -> np.ndarray:
    """Of the coefficients x, from the curvature of the objective, prior included, (p, p)."""
    size = np.sqrt(np.diagonal(linearised.inverse_hessian))
    safe = np.where(size > 0, size, 1.0)
    return np.clip(linearised.inverse_hessian / safe / safe[:, None], -1.0, 1.0)


def condition_number(linearised: Linearised) -> float:
    """Of the weighted Jacobian of the free coefficients, columns scaled to unit length.

    Largest over smallest singular value (the scaled condition number of Belsley, Kuh and Welsch
    1980).
    """
    jacobian = np.sqrt(linearised.weight)[:, None] * linearised.jacobian[:, linearised.free]
    size = np.linalg.norm(jacobian, axis=0)
    values = np.linalg.svd(jacobian / np.where(size > 0, size, 1.0), compute_uv=False)
    if not len(values):
        return 1.0
    least = max(values[-1], values[0] / _MOST_CONDITION)
    return float(min(values[0] / least, _MOST_CONDITION))
