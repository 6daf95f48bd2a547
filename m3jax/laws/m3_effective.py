"""The M³ law whose data term counts what repeated text still teaches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._coefficients import saturation
from ._log_space import LogSpaceLaw
from .m3 import M3, log_repetition, m3_features


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    x = m3_features(theta, recipe)
    log_k, log_r = x["epochs"], x["target_ratio"]
    # D_S + D_T·rho(k; R_e) in units of D_T: the source's tokens count whole.
    worth = jnp.exp(log_repetition(log_k, theta["R_e"])) + jnp.exp(log_k) * jnp.expm1(-log_r)
    return {**x, "effective": x["target_tokens"] + jnp.log(worth)}


M3_EFFECTIVE = LogSpaceLaw(
    name="m3_effective",
    coefficients=(
        *M3.coefficients,
        dataclasses.replace(
            saturation("R_e"), meaning="epochs over which repeated text stops teaching"
        ),
    ),
    variables=M3.variables,
    formula=M3.formula.replace("B·D^-beta", "B·(D_S + D_T·rho(k;R_e))^-beta"),
    source=f"`m3` and what repeated text still teaches; {M3.source}",
    terms={
        **M3.terms,
        "B": {
            name: (sign, "effective" if feature == "total_tokens" else feature)
            for name, (sign, feature) in M3.terms["B"].items()
        },
    },
    features=_features,
    shapes={"repetition": "R", "text": "tau", "effective": "R_e"},
    diluting=M3.diluting,
)
"""`m3` with D_S + D_T·ρ(k; R_e) in place of D in its data term, in nats per token.

Repeated text teaches ever less (R_e, as in `data_constrained`) and, apart from that, does harm
(P and R). With R_e → ∞ it is `m3`.
"""
