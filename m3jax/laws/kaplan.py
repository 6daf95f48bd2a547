"""The law of Kaplan et al. of model size and total tokens."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array
from ._base import Coefficient
from ._coefficients import amplitude
from ._log_space import LogSpaceLaw


def _combine(theta: Mapping[str, Array], terms: Mapping[str, Array]) -> Array:
    beta, larger = theta["beta"], jnp.maximum(terms["A"], terms["B"])
    gap = jnp.abs(terms["A"] - terms["B"])
    return larger + beta * jnp.log1p(jnp.exp(-gap / beta))


KAPLAN = LogSpaceLaw(
    name="kaplan",
    coefficients=(
        amplitude("A", ("n_params",), "loss of endless data, nats at one parameter: N_c^alpha_N"),
        Coefficient(
            "alpha",
            (0.03, 0.3),
            (0.0, 3.0),
            neutral=0.076,
            needs=("n_params",),
            meaning="exponent of model size, alpha_N",
        ),
        amplitude(
            "B", ("total_tokens",), "loss of an endless model, nats at one token: D_c^alpha_D"
        ),
        Coefficient(
            "beta",
            (0.05, 0.4),
            (0.02, 3.0),  # the law divides by it
            neutral=0.103,
            needs=("total_tokens",),
            meaning="exponent of total tokens, alpha_D",
        ),
    ),
    variables=("n_params", "total_tokens"),
    formula="L = ((A·N^-alpha)^(1/beta) + (B·D^-beta)^(1/beta))^beta",
    source="Kaplan et al. 2020, arXiv:2001.08361, equation 1.5",
    published={
        "Kaplan et al. 2020 (arXiv:2001.08361)": {
            "A": 6.4e13**0.076,
            "alpha": 0.076,
            "B": 1.8e13**0.103,
            "beta": 0.103,
        }
    },
    terms={"A": {"alpha": (-1, "n_params")}, "B": {"beta": (-1, "total_tokens")}},
    combine=_combine,
)
"""`L = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D` in nats per token, N in parameters, D total tokens.

Kaplan et al. 2020, arXiv:2001.08361, equation 1.5, with A = N_c^α_N and B = D_c^α_D, so that A·N^-α
and B·D^-β are the losses of endless data and of an endless model. No irreducible loss.
"""
