"""A law that stays between the irreducible loss and that of a model which knows nothing."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ..recipe import Array
from ._base import Coefficient
from ._coefficients import amplitude, exponent
from ._log_space import LogSpaceLaw, log_sum
from .chinchilla import COEFFICIENTS as CHINCHILLA


def _combine(theta: Mapping[str, Array], terms: Mapping[str, Array]) -> Array:
    log_h = log_sum(terms["a"], terms["b"], terms["c"])
    # E·(1 − w) + L0·w with w = h/(1 + h): no difference of large numbers at either end.
    return jnp.logaddexp(
        terms["E"] + jax.nn.log_sigmoid(-log_h), theta["L0"] + jax.nn.log_sigmoid(log_h)
    )


BOUNDED = LogSpaceLaw(
    name="bounded",
    coefficients=(
        CHINCHILLA[0],
        Coefficient(
            "L0",
            (4.0, 16.0),
            (1e-3, 1e3),
            log=True,
            neutral=11.0,
            meaning="loss of a model that knows nothing, nats; log of the vocabulary",
        ),
        amplitude("a", ("n_params",), "too small a model: size at one parameter"),
        exponent("alpha", ("n_params",), "exponent of model size"),
        amplitude("b", ("total_tokens",), "too little training: size at one token"),
        exponent("beta", ("total_tokens",), "exponent of total tokens"),
        # With one corpus size it is still there, as a power of model size.
        amplitude("c", (), "overfitting: size at one parameter and one unique token"),
        Coefficient(
            "gamma",
            (0.1, 1.0),
            (0.0, 4.0),
            neutral=0.5,
            needs=("n_params",),
            meaning="growth of overfitting with model size",
        ),
        Coefficient(
            "delta",
            (0.1, 1.0),
            (0.0, 4.0),
            neutral=0.5,
            needs=("target_tokens",),
            meaning="fall of overfitting with unique text",
        ),
    ),
    variables=("n_params", "target_tokens", "total_tokens"),
    formula=(
        "L = E + (L0 - E)·h/(1 + h); h = a·N^-alpha + b·D^-beta + c·N^gamma·D_T^-delta,"
        " with D all tokens trained on"
    ),
    source="Bryant and Liu 2026, arXiv:2605.09189; the formula from its abstract",
    terms={
        "E": {},
        "a": {"alpha": (-1, "n_params")},
        "b": {"beta": (-1, "total_tokens")},
        "c": {"gamma": (1, "n_params"), "delta": (-1, "target_tokens")},
    },
    combine=_combine,
)
"""`L = E + (L0 − E)·h/(1 + h)`, `h = a/N^α + b/T^β + c·N^γ/D_T^δ`, in nats per token.

Bryant and Liu 2026, arXiv:2605.09189, from the abstract; T is all tokens trained on, called D
elsewhere here, and D_T the unique ones. They fix L0 by the loss, which is log of the vocabulary:
do so with `fit(..., fixed={"L0": ...})`. Theirs is a law of one corpus: of a mixture, D_T is that
of the target language.
"""
