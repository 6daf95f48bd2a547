"""The amplitudes that fit best given a law's exponents and shapes: solved for, not searched."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from ...laws import Law, LogSpaceLaw
from ...recipe import Array
from ._jacobian import log_terms
from ._linalg import matvec
from ._objective import FitData

_SWEEPS = 30  # of coordinate descent
_LEAST_SHARE = 2e-3  # of the loss, that a term gets at least


def with_best_amplitudes(law: Law, x: Array, data: FitData, features: Array | None) -> Array:
    """x (p,) with the free amplitudes that fit the runs best given its exponents and shapes.

    `features` as of `feature_matrix`; laws without them keep the amplitudes of x.
    """
    if features is None:
        return x
    assert isinstance(law, LogSpaceLaw)
    at = amplitude_indices(law)
    amplitude = jnp.zeros(len(law.names), bool).at[at].set(data.free[at])
    bare = jnp.where(amplitude, 0.0, x)
    logs = log_terms(law, bare, data, features).logs
    shares = jnp.exp(jnp.stack(list(logs.values())) - data.log_loss)
    return x.at[at].set(best_log_amplitudes(shares, bare[at], data.free[at], data))


def amplitude_indices(law: LogSpaceLaw) -> np.ndarray:
    """Where the amplitudes of the law's terms stand among its coefficients, (t,)."""
    return np.array([law.names.index(name) for name in law.terms])


def best_log_amplitudes(
    shares: Array, log_amplitudes: Array, free: Array, data: FitData, xp: ModuleType = jnp
) -> Array:
    """Logarithms of the best amplitudes of a law's terms, (..., t); those not free as they are.

    The loss is linear in the amplitudes, so their factors f ≥ 0 solve a least-squares problem in as
    many unknowns as the law has terms, on relative errors, Σ weight (Σ_t f_t shares_t − 1)². It is
    solved by coordinate descent. Terms that come out as nothing get a small share, from which a
    descent can find its way back.

    Args:
        shares: each term over the measured loss, at `log_amplitudes`, (..., t, n).
        log_amplitudes: (..., t).
        free: which of them may move, (..., t) bool.
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

    factors = _repeat(sweep, xp.zeros_like(right), xp)
    typical = xp.sum(data.weight * data.log_loss, axis=-1) / xp.sum(data.weight, axis=-1)
    least = _LEAST_SHARE * xp.exp(typical[..., None] - log_amplitudes)
    solved = xp.log(xp.maximum(factors, least)) + log_amplitudes
    return xp.where(free, solved, log_amplitudes)


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
