"""Mixture and repetition: target text that wears out, source text beside it, and a ratio term."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._coefficients import amplitude, free_exponent, saturation
from ._log_space import LogSpaceLaw, log_variables
from .chinchilla import COEFFICIENTS as CHINCHILLA
from .data_constrained import with_free_data
from .m3 import log_repetition


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    x = log_variables(recipe)
    log_k, log_r = x["epochs"], x["target_ratio"]
    worth = log_repetition(log_k, theta["R"])
    source = jnp.exp(log_k - worth) * jnp.expm1(-log_r)
    return {**x, "data": x["target_tokens"] + worth + jnp.log1p(source)}


MIXTURE_REPETITION = LogSpaceLaw(
    name="mixture_repetition",
    coefficients=(
        *(with_free_data(c) for c in CHINCHILLA),
        saturation(),
        amplitude("C", ("target_ratio",), "size of the ratio term, nats at r = 1"),
        free_exponent("gamma", ("target_ratio",), "exponent of the ratio term", (0.1, 0.8)),
    ),
    variables=("n_params", "target_tokens", "epochs", "target_ratio"),
    formula=(
        "L = E + A·N^-alpha + B·D_eff^-beta + C·r^-gamma; D_eff = D_S + D_T·rho(k;R);"
        " rho = 1 + R·(1 - exp(-(k-1)/R)); read in part, D_T is what is read and k = 1"
    ),
    source=(
        "Sedova et al. 2026, arXiv:2605.12715, from a secondary source that gives the effective"
        " repetition and names a ratio term; how they are put together is ours"
    ),
    terms={
        "E": {},
        "A": {"alpha": (-1, "n_params")},
        "B": {"beta": (-1, "data")},
        "C": {"gamma": (-1, "target_ratio")},
    },
    features=_features,
    shapes={"data": "R"},
)
"""`L = E + A·N^-α + B·D_eff^-β + C·r^-γ`, `D_eff = D_S + D_T·ρ(k; R)`, in nats per token.

After Sedova et al. 2026, arXiv:2605.12715 ("Scaling Laws for Mixture Pretraining Under Data
Constraints"), from a secondary source: an effective repetition r_eff = 1 + r1·(1 − e^{−(r−1)/r1}),
which is ρ(k; R) here, effective data and a term in the ratio. How these are put together is ours,
after the same group's `additive_mixture`. Not to be taken for the paper's equation.
"""
