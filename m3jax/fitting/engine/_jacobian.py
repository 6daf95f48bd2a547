"""Log losses and their Jacobian in the solver's variables, as cheaply as the law allows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...laws import Law, LogSpaceLaw
from ...recipe import Array
from ._objective import FitData

_SWEEPS = 30  # of coordinate descent over the amplitudes
_SMALL_SHARE = 2e-3  # of the loss, that a start gives a term at least


@cache
def _is_separable(law: Law) -> bool:
    """Whether each exponent goes with one feature, and shapes bend features and nothing else."""
    if not isinstance(law, LogSpaceLaw) or law.shapes is None:
        return False
    feature_of: dict[str, str] = {}
    for powers in law.terms.values():
        for exponent, (_, feature) in powers.items():
            if feature_of.setdefault(exponent, feature) != feature:
                return False
    names = [*law.terms, *feature_of, *law.shapes.values()]
    return len(set(names)) == len(names) and set(names) == set(law.names)


def columns(law: Law, data: FitData) -> Array | None:
    """What the exponents multiply, centred as `data.centre` says, shape (p, n).

    One for coefficients that multiply no plain feature. None for laws without the structure.
    """
    if not _is_separable(law):
        return None
    assert isinstance(law, LogSpaceLaw)
    assert law.shapes is not None
    index = {name: i for i, name in enumerate(law.names)}
    named = {name: data.centre[i] @ data.prior_mean for name, i in index.items()}
    features = law.features(named, data.recipe)
    rows = [jnp.ones_like(data.log_loss)] * len(law.names)
    for amplitude, powers in law.terms.items():
        for exponent, (sign, feature) in powers.items():
            if feature not in law.shapes:
                shift = sign * data.centre[index[amplitude], index[exponent]]
                rows[index[exponent]] = features[feature] + shift
    return jnp.stack(rows)


class _Terms(NamedTuple):
    """Logarithms of a law's terms, (n,) each, and what is behind them."""

    logs: dict[str, Array]
    values: dict[tuple[str, str], Array]  # (amplitude, exponent) -> signed feature, if it bends
    slopes: dict[str, Array]  # bending feature -> its derivative in its shape coefficient


def _terms(law: LogSpaceLaw, x: Array, data: FitData, columns: Array) -> _Terms:
    assert law.shapes is not None
    index = {name: i for i, name in enumerate(law.names)}
    named = {name: x[i] for name, i in index.items()}

    def bent(shapes: dict[str, Array]) -> dict[str, Array]:
        features = law.features({**named, **shapes}, data.recipe)
        return {name: features[name] for name in law.shapes or ()}

    shapes = {name: named[name] for name in law.shapes.values()}
    features = bent(shapes)
    slopes = {
        feature: jax.jvp(
            lambda value, s=shape: bent({**shapes, s: value}), (shapes[shape],), (x[0] * 0 + 1,)
        )[1][feature]
        for feature, shape in law.shapes.items()
    }
    logs, values = {}, {}
    for amplitude, powers in law.terms.items():
        log_term = x[index[amplitude]]
        for exponent, (sign, feature) in powers.items():
            j = index[exponent]
            if feature in law.shapes:
                value = sign * features[feature] + data.centre[index[amplitude], j]
                values[amplitude, exponent] = value
            else:
                value = sign * columns[j]
            log_term = log_term + x[j] * value
        logs[amplitude] = jnp.broadcast_to(log_term, data.log_loss.shape)
    return _Terms(logs, values, slopes)


def log_loss_and_jacobian(
    law: Law, x: Array, data: FitData, columns: Array | None
) -> tuple[Array, Array]:
    """Log loss (n,) at x (p,) and its Jacobian in x, (p, n).

    For a log-space law, ∂ log L / ∂x is a sum over terms of the term's share of the loss times what
    the coefficient does to the logarithm of that term: for plain exponents the same in every fit of
    a language. So the Jacobian is `columns` times a small mixture of shares.
    """
    if columns is None:

        def predict(x: Array) -> Array:
            return law.log_loss_theta(data.centre @ x, data.recipe)

        return predict(x), jax.jacfwd(predict)(x).T

    assert isinstance(law, LogSpaceLaw)
    assert law.shapes is not None
    terms = _terms(law, x, data, columns)
    top = jnp.stack(list(terms.logs.values())).max(axis=0)
    sizes = {name: jnp.exp(log_term - top) for name, log_term in terms.logs.items()}
    total = sum(sizes.values(), start=jnp.zeros_like(top))

    # What the mixture is made of, and into which coefficients each row of it goes.
    rows: list[Array] = []
    into: list[list[int]] = []

    def add(row: Array, coefficients: Mapping[str, int]) -> None:
        rows.append(row)
        into.append([coefficients.get(name, 0) for name in law.names])

    for amplitude, powers in law.terms.items():
        share = sizes[amplitude] / total
        plain = {e: sign for e, (sign, feature) in powers.items() if feature not in law.shapes}
        add(share, {amplitude: 1, **plain})
        for exponent, (sign, feature) in powers.items():
            if feature in law.shapes:
                add(share * terms.values[amplitude, exponent], {exponent: 1})
                strength = sign * x[law.names.index(exponent)]
                add(share * strength * terms.slopes[feature], {law.shapes[feature]: 1})
    mixture = jnp.asarray(np.array(into).T, x.dtype) @ jnp.stack(rows)
    return top + jnp.log(total), columns * mixture


def with_best_amplitudes(law: Law, x: Array, data: FitData, columns: Array | None) -> Array:
    """x (p,) with the free amplitudes that fit the runs best given its exponents and shapes.

    The loss is linear in the amplitudes, which are >= 0: a least-squares problem in as many
    unknowns as the law has terms, on relative errors, by coordinate descent. Terms that come out
    as nothing get a small share, from which a descent can find its way back. Laws without the
    structure keep the amplitudes of x.
    """
    if columns is None:
        return x
    assert isinstance(law, LogSpaceLaw)
    at = np.array([law.names.index(name) for name in law.terms])
    free = data.free[at]
    bare = jnp.where(jnp.zeros(len(law.names), bool).at[at].set(free), 0.0, x)
    sizes = jnp.exp(jnp.stack(list(_terms(law, bare, data, columns).logs.values())) - data.log_loss)
    held = jnp.sum(jnp.where(free[:, None], 0.0, sizes), axis=0)
    sizes = jnp.where(free[:, None], sizes, 0.0)
    gram = (sizes * data.weight) @ sizes.T
    right = sizes @ (data.weight * (1.0 - held))
    diagonal = jnp.maximum(jnp.diagonal(gram), jnp.finfo(x.dtype).tiny)

    def sweep(_: int, amplitudes: Array) -> Array:
        for t in range(len(at)):
            step = (right[t] - gram[t] @ amplitudes) / diagonal[t]
            amplitudes = amplitudes.at[t].set(jnp.maximum(amplitudes[t] + step, 0.0))
        return amplitudes

    found = jax.lax.fori_loop(0, _SWEEPS, sweep, jnp.zeros(len(at), x.dtype))
    typical = jnp.sum(data.weight * data.log_loss) / jnp.sum(data.weight)
    found = jnp.log(jnp.maximum(found, _SMALL_SHARE * jnp.exp(typical)))
    return x.at[at].set(jnp.where(free, found, x[at]))
