"""Log losses and their Jacobian in the solver's variables, as cheaply as the law allows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...computing import KEPT
from ...laws import Law, LogSpaceLaw, log_dilution
from ...recipe import Array
from ._objective import FitData


@lru_cache(maxsize=KEPT)
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


def feature_matrix(law: Law, data: FitData) -> Array | None:
    """The derivative of a term's logarithm in each coefficient, (p, n), the term's sign aside.

    That is the feature that an exponent multiplies, centred as `data.centre` says, and 1 for
    coefficients that multiply no plain feature. None for laws whose terms have no such structure.
    """
    if not _is_separable(law):
        return None
    assert isinstance(law, LogSpaceLaw)
    assert law.shapes is not None
    index = {name: i for i, name in enumerate(law.names)}
    # Plain features do not depend on the coefficients: any will do.
    coefficients = {name: data.centre[i] @ data.prior_mean for name, i in index.items()}
    named = law.log_features(coefficients, data.recipe)
    rows = [jnp.ones_like(data.log_loss)] * len(law.names)
    for amplitude, powers in law.terms.items():
        for exponent, (sign, feature) in powers.items():
            if feature not in law.shapes:
                shift = sign * data.centre[index[amplitude], index[exponent]]
                rows[index[exponent]] = named[feature] + shift
    return jnp.stack(rows)


class LogTerms(NamedTuple):
    """A law's terms, each (n,), and what its shape coefficients do to them.

    Attributes:
        logs: amplitude -> logarithm of its term, before it is diluted.
        shaped: (amplitude, exponent) -> the signed, centred feature that the exponent multiplies,
            where a shape coefficient enters it.
        shape_slopes: such a feature -> its derivative in its shape coefficient.
    """

    logs: dict[str, Array]
    shaped: dict[tuple[str, str], Array]
    shape_slopes: dict[str, Array]


def log_terms(law: LogSpaceLaw, x: Array, data: FitData, features: Array) -> LogTerms:
    """The law's terms at x (p,); `features` (p, n) as of `feature_matrix`."""
    assert law.shapes is not None
    index = {name: i for i, name in enumerate(law.names)}
    coefficients = {name: x[i] for name, i in index.items()}

    def shaped_features(shapes: dict[str, Array]) -> dict[str, Array]:
        named = law.log_features({**coefficients, **shapes}, data.recipe)
        return {name: named[name] for name in law.shapes or ()}

    shapes = {name: coefficients[name] for name in law.shapes.values()}
    named = shaped_features(shapes)
    slopes = {
        feature: jax.jvp(
            lambda value, s=shape: shaped_features({**shapes, s: value}),
            (shapes[shape],),
            (x[0] * 0 + 1,),
        )[1][feature]
        for feature, shape in law.shapes.items()
    }
    logs, shaped = {}, {}
    for amplitude, powers in law.terms.items():
        log_term = x[index[amplitude]]
        for exponent, (sign, feature) in powers.items():
            j = index[exponent]
            if feature in law.shapes:
                value = sign * named[feature] + data.centre[index[amplitude], j]
                shaped[amplitude, exponent] = value
            else:
                value = sign * features[j]
            log_term = log_term + x[j] * value
        logs[amplitude] = jnp.broadcast_to(log_term, data.log_loss.shape)
    return LogTerms(logs, shaped, slopes)


def counted_logs(law: LogSpaceLaw, logs: Mapping[str, Array]) -> dict[str, Array]:
    """Logarithms of what the terms add to the loss, from theirs."""
    return {
        name: log_dilution(log_term) if name in law.diluting else log_term
        for name, log_term in logs.items()
    }


def log_loss_and_jacobian(
    law: Law, x: Array, data: FitData, features: Array | None
) -> tuple[Array, Array]:
    """Log loss (n,) at x (p,) and its Jacobian in x, (p, n).

    For a loss L = Σ_t exp(l_t) of log-space terms, ∂ log L / ∂x_j = Σ_t (exp(l_t) / L) ∂l_t / ∂x_j:
    a term's share of the loss times what the coefficient does to the term's logarithm. A term x
    that counts as log(1 + x) has the share x / (1 + x) / L in its place. For plain exponents the
    latter is the same in every fit of a language, so the Jacobian is `features`, as of
    `feature_matrix`, times a small mixture of shares. For other laws, forward differentiation.
    """
    if features is None:

        def predict(x: Array) -> Array:
            return law.log_loss_theta(data.centre @ x, data.recipe)

        return predict(x), jax.jacfwd(predict)(x).T

    assert isinstance(law, LogSpaceLaw)
    assert law.shapes is not None
    terms = log_terms(law, x, data, features)
    counted = counted_logs(law, terms.logs)
    top = jnp.stack(list(counted.values())).max(axis=0)
    sizes = {name: jnp.exp(log_term - top) for name, log_term in counted.items()}
    total = sum(sizes.values(), start=jnp.zeros_like(top))
    for name in law.diluting:
        sizes[name] = jax.nn.sigmoid(terms.logs[name]) * jnp.exp(-top)

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
                add(share * terms.shaped[amplitude, exponent], {exponent: 1})
                strength = sign * x[law.names.index(exponent)]
                add(share * strength * terms.shape_slopes[feature], {law.shapes[feature]: 1})
    mixture = jnp.asarray(np.array(into).T, x.dtype) @ jnp.stack(rows)
    return top + jnp.log(total), features * mixture
