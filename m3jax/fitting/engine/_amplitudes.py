"""The amplitudes that fit best given a law's exponents and shapes: solved for, not searched."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from ...laws import Law, LogSpaceLaw
from ...recipe import Array
from ._jacobian import counted_logs, log_terms
from ._linalg import matvec
from ._objective import FitData

_SWEEPS = 30  # of coordinate descent
_LEAST_SHARE = 2e-3  # of the loss, that a term gets at least
_DILUTIONS = 2  # times that a term which dilutes is sized anew
_COSTS = 1e-12, 30.0  # nats, that a term which dilutes is taken to typically cost


def with_best_amplitudes(law: Law, x: Array, data: FitData, features: Array | None) -> Array:
    """x (p,) with the free amplitudes that fit the runs best given its exponents and shapes.

    `features` as of `feature_matrix`; laws without them keep the amplitudes of x.
    """
    if features is None:
        return x
    assert isinstance(law, LogSpaceLaw)
    at = amplitude_indices(law)
    amplitude = jnp.zeros(len(law.names), bool).at[at].set(data.free[at])
    diluting = np.array([name in law.diluting for name in law.terms])
    # What dilutes is only known at an amplitude: that of x.
    bare = jnp.where(amplitude.at[at].min(~diluting), 0.0, x)
    logs = counted_logs(law, log_terms(law, bare, data, features).logs)
    shares = jnp.exp(jnp.stack(list(logs.values())) - data.log_loss)
    best = best_log_amplitudes(shares, bare[at], data.free[at], data, diluting=diluting)
    return x.at[at].set(best)


def amplitude_indices(law: LogSpaceLaw) -> np.ndarray:
    """Where the amplitudes of the law's terms stand among its coefficients, (t,)."""
    return np.array([law.names.index(name) for name in law.terms])


def best_log_amplitudes(
    shares: Array,
    log_amplitudes: Array,
    free: Array,
    data: FitData,
    xp: ModuleType = jnp,
    *,
    diluting: np.ndarray,
) -> Array:
    """Logarithms of the best amplitudes of a law's terms, (..., t); those not free as they are.

    The loss is linear in the amplitudes of all terms but those x that count as log(1 + x). One of
    these gets the factor g of x by which its typical cost v = log(1 + x) is f times what it was,
    with f the best as if it were linear, g = (e^(f·v) − 1) / (e^v − 1). That is done twice, and
    then the others get theirs.

    Args:
        shares: what each term adds over the measured loss, at `log_amplitudes`, (..., t, n).
        log_amplitudes: (..., t).
        free: which of them may move, (..., t) bool.
        diluting: which of the terms count as log(1 + x), (t,) bool.
    """
    typical = xp.sum(data.weight * data.log_loss, axis=-1) / xp.sum(data.weight, axis=-1)
    least = _LEAST_SHARE * xp.exp(typical)[..., None]

    def linear(shares: Array, at: Array, free: Array) -> tuple[Array, Array]:
        factors = _best_factors(shares, free, data, xp)
        solved = xp.log(xp.maximum(factors, least * xp.exp(-at))) + at
        return xp.where(free, solved, at), factors

    loss, at = xp.exp(data.log_loss)[..., None, :], log_amplitudes
    for _ in range(_DILUTIONS if diluting.any() else 0):
        _, factors = linear(shares, at, free)
        cost = xp.minimum(shares * loss, _COSTS[1])
        pull = cost * data.weight[..., None, :]
        total = xp.maximum(xp.sum(pull, axis=-1), np.finfo(cost.dtype).tiny)
        usual = xp.clip(xp.sum(pull * cost, axis=-1) / total, *_COSTS)
        wanted = xp.clip(xp.maximum(factors * usual, least), *_COSTS)
        factor = xp.where(free & diluting, xp.expm1(wanted) / xp.expm1(usual), 1.0)
        diluted = xp.log1p(factor[..., None] * xp.expm1(cost)) / loss
        shares, at = xp.where(diluting[:, None], diluted, shares), at + xp.log(factor)
    return linear(shares, at, free & ~diluting)[0]


def _best_factors(shares: Array, free: Array, data: FitData, xp: ModuleType) -> Array:
    """Factors (..., t) of terms that add up, those that fit best.

    They solve a least-squares problem in as many unknowns as the law has terms, on relative errors,
    Σ weight (Σ_t f_t shares_t − 1)² with f ≥ 0, by coordinate descent. Terms that come out as
    nothing get a small share later, from which a descent can find its way back.
    """
    held = xp.sum(xp.where(free[..., None], 0.0, shares), axis=-2)
    shares = xp.where(free[..., None], shares, 0.0)
    gram = (shares * data.weight[..., None, :]) @ xp.swapaxes(shares, -1, -2)
    right = matvec(shares, data.weight * (1.0 - held))
    diagonal = xp.maximum(xp.diagonal(gram, axis1=-2, axis2=-1), np.finfo(gram.dtype).tiny)

    def sweep(factors: Array) -> Array:
        for t in range(gram.shape[-1]):
            error = right[..., t] - xp.vecdot(gram[..., t, :], factors)
            factor = xp.maximum(factors[..., t] + error / diagonal[..., t], 0.0)
            factors = _with_entry(factors, t, factor)
        return factors

    return _repeat(sweep, xp.zeros_like(right), xp)


def _with_entry(array: Array, t: int, entry: Array) -> Array:
    """array (..., t) with another entry (...); a NumPy array is changed in place."""
    if not isinstance(array, np.ndarray):
        return array.at[..., t].set(entry)
    array[..., t] = entry
    return array


def _repeat(sweep: Callable[[Array], Array], factors: Array, xp: ModuleType) -> Array:
    if xp is not np:
        return jax.lax.fori_loop(0, _SWEEPS, lambda _, factors: sweep(factors), factors)
    for _ in range(_SWEEPS):
        factors = sweep(factors)
    return factors
