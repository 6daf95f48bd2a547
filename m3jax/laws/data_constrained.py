"""The data-constrained law of Muennighoff et al.: repeated tokens and excess parameters decay."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._base import Coefficient, Law
from .chinchilla import COEFFICIENTS as CHINCHILLA


def _decayed(log_base: Array, excess: Array, scale: Array) -> Array:
    """log(U + U·s·(1 − e^{−excess/s})): what U and `excess` repeats of it are worth."""
    return log_base + jnp.log1p(-scale * jnp.expm1(-excess / scale))


def _loss(c: Mapping[str, Array], recipe: Recipe) -> Array:
    log_n, log_k = jnp.log(recipe.n_params), jnp.log(recipe.epochs)
    # Below one epoch the unique text is what was read, not what lay there.
    log_u = jnp.log(recipe.target_tokens) + jnp.minimum(log_k, 0.0)
    log_a, log_b = jnp.log(c["A"]), jnp.log(c["B"])
    # N_opt(D_opt = U) = G·(U·G)^(β/α), with G = (αA / βB)^(1/(α+β)).
    log_g = (jnp.log(c["alpha"] / c["beta"]) + log_a - log_b) / (c["alpha"] + c["beta"])
    log_un = jnp.minimum(log_n, log_g + c["beta"] / c["alpha"] * (log_u + log_g))
    log_d = _decayed(log_u, jnp.maximum(jnp.expm1(log_k), 0.0), c["R_D"])
    log_n_eff = _decayed(log_un, jnp.expm1(log_n - log_un), c["R_N"])
    model, data = log_a - c["alpha"] * log_n_eff, log_b - c["beta"] * log_d
    return c["E"] + jnp.exp(model) + jnp.exp(data)


_BASE = [c for c in CHINCHILLA if c.name not in ("alpha", "beta")]
_EXPONENTS = [
    # The rule for N_opt divides by the exponents: they stay away from zero.
    Coefficient("alpha", (0.2, 0.6), (0.02, 3.0), neutral=0.35, meaning="exponent of model size"),
    Coefficient("beta", (0.2, 0.6), (0.02, 3.0), neutral=0.35, meaning="exponent of target tokens"),
]

DATA_CONSTRAINED = Law(
    name="data_constrained",
    coefficients=(
        *_BASE,
        *_EXPONENTS,
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
            (1.0, 60.0),
            (1e-2, 1e7),
            log=True,
            neutral=5.309743,
            needs=("n_params", "epochs"),
            meaning="R_N*, the same for parameters in excess of N_opt",
        ),
    ),
    function=_loss,
    variables=("n_params", "target_tokens", "epochs"),
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
