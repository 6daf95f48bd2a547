"""The adaptive transfer law (ATLAS): target and source tokens make up one effective corpus."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._base import Coefficient
from ._log_space import LogSpaceLaw, log_variables
from .chinchilla import COEFFICIENTS as CHINCHILLA
from .data_constrained import with_free_data
from .m3 import log_repetition


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    x = log_variables(recipe)
    log_k, log_r = x["epochs"], x["target_ratio"]
    worth = log_repetition(log_k, -theta["lambda"])  # of the target corpus, in corpora
    source = jnp.exp(theta["tau"] + log_k - worth) * jnp.expm1(-log_r)
    return {**x, "data": x["target_tokens"] + worth + jnp.log1p(source)}


ADAPTIVE_TRANSFER = LogSpaceLaw(
    name="adaptive_transfer",
    coefficients=(
        *(with_free_data(c) for c in CHINCHILLA),
        Coefficient(
            "lambda",
            (1 / 60, 1 / 2),
            (1e-7, 1e2),
            log=True,
            neutral=1e-7,
            needs=("epochs",),
            meaning="how fast repeated tokens lose their worth, per epoch",
        ),
        Coefficient(
            "tau",
            (1e-2, 1.0),
            (1e-8, 1e2),
            log=True,
            neutral=1e-8,
            needs=("target_ratio",),
            meaning="worth of a source token in target tokens",
        ),
    ),
    variables=("n_params", "target_tokens", "epochs", "target_ratio"),
    formula=(
        "L = E + A·N^-alpha + B·D_eff^-beta; D_eff = S(k·D_T; D_T) + tau·D_S;"
        " S(D; U) = D for D <= U, else U·(1 + (1 - exp(-lambda·(D/U - 1)))/lambda)"
    ),
    source="Longpre et al. 2025, arXiv:2510.22037; the formula from a secondary source",
    terms={"E": {}, "A": {"alpha": (-1, "n_params")}, "B": {"beta": (-1, "data")}},
    features=_features,
)
"""`L = E + A·N^-α + B·D_eff^-β`, `D_eff = S_λ(D_t; U_t) + τ·S_λ(D_o; U_o)`, in nats per token.

Longpre et al. 2025, arXiv:2510.22037 (ATLAS), from a secondary source. S_λ(D; U) is D up to one
pass over U and U·(1 + (1 − e^{−λ(D/U − 1)})/λ) beyond. A run table does not tell how much source
text there is: it counts as unique, S_λ(D_o; U_o) = D_S. Their languages similar to the target and
others are one source here.
"""
