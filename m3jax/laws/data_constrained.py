"""The data-constrained law of Muennighoff et al.: repeated tokens and excess parameters decay."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._base import Coefficient
from ._log_space import LogSpaceLaw, log_variables
from .chinchilla import COEFFICIENTS as CHINCHILLA


def _decayed(log_base: Array, log_times: Array, log_scale: Array) -> Array:
    """log(U + U·s·(1 − e^{−(t − 1)/s})): what U is worth when there are t >= 1 times U."""
    scale = jnp.exp(log_scale)
    # Saturated long before e^30 times; beyond, squares would overflow in float32.
    excess = jnp.expm1(jnp.minimum(log_times, 30.0))
    return log_base + jnp.log1p(-scale * jnp.expm1(-excess / scale))


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    x = log_variables(recipe)
    log_n, log_k, log_t = x["n_params"], x["epochs"], x["target_tokens"]
    alpha, beta = theta["alpha"], theta["beta"]
    # N_opt(D_opt = U) = G·(U·G)^(β/α), with G = (αA / βB)^(1/(α+β)).
    log_g = (jnp.log(alpha / beta) + theta["A"] - theta["B"]) / (alpha + beta)
    log_un = jnp.minimum(log_n, log_g + beta / alpha * (log_t + log_g))
    return {
        "model": _decayed(log_un, log_n - log_un, theta["R_N"]),
        "data": _decayed(log_t, log_k, theta["R_D"]),
    }


def with_free_data(c: Coefficient) -> Coefficient:
    """A Chinchilla coefficient for effective data, which D_T as well as k or r moves.

    The rank of the Jacobian tells whether the runs determine B and beta, not a list of needs.
    """
    if c.name == "beta":
        return dataclasses.replace(c, needs=(), meaning="exponent of effective tokens")
    return dataclasses.replace(c, needs=()) if c.name == "B" else c


def _base(c: Coefficient) -> Coefficient:
    if c.name in ("alpha", "beta"):
        # The rule for N_opt divides by the exponents: they stay away from zero.
        return dataclasses.replace(c, bounds=(0.02, 3.0), needs=(), meaning=_MEANINGS[c.name])
    return with_free_data(c)


_MEANINGS = {"alpha": "exponent of effective model size", "beta": "exponent of effective tokens"}

DATA_CONSTRAINED = LogSpaceLaw(
    name="data_constrained",
    coefficients=(
        *(_base(c) for c in CHINCHILLA),
        Coefficient(
            "R_D",
            (2.0, 60.0),
            (1e-2, 1e7),
            log=True,
            neutral=15.387756,
            needs=("epochs",),
            meaning="R_D*, repeats at which repeated tokens lose their worth",
        ),
        Coefficient(
            "R_N",
            # Published as 5.3; with everything free, runs often put it out of sight.
            (1.0, 1e5),
            (1e-2, 1e7),
            log=True,
            neutral=5.309743,
            needs=("n_params", "epochs"),
            meaning="R_N*, the same for parameters in excess of N_opt",
        ),
    ),
    variables=("n_params", "target_tokens", "epochs"),
    terms={"E": {}, "A": {"alpha": (-1, "model")}, "B": {"beta": (-1, "data")}},
    features=_features,
    formula=(
        "L = E + A·N'^-alpha + B·D'^-beta; D' = U + U·R_D·(1 - exp(-(k-1)/R_D));"
        " N' = U_N + U_N·R_N·(1 - exp(-(N/U_N-1)/R_N)); U_N = min(N, N_opt(D_opt = U))"
    ),
    source="Muennighoff et al. 2023, arXiv:2305.16264",
    published={
        "Muennighoff et al. 2023 (arXiv:2305.16264), 182 runs": {
            "E": 1.8691436784,
            "A": 520.82495166,
            "B": 1487.71609378,
            "alpha": 0.3526596,
            "beta": 0.3526596,
            "R_D": 15.387756,
            "R_N": 5.309743,
        }
    },
)
"""`L = E + A·N'^-α + B·D'^-β`, nats per token; N in parameters, U = D_T unique target tokens.

Muennighoff et al. 2023, arXiv:2305.16264, equations 5 and 6 with the rule
U_N = min(N, N_opt(D_opt = U)). A law of one language: source tokens do not enter.
"""
