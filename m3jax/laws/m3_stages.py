"""The M³ law that sees the ratio before the final stage too."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._base import Coefficient
from ._log_space import LogSpaceLaw
from .m3 import M3, m3_features

_RATIOS = {"phi": (-1, "stage_fraction")}


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    return {**m3_features(theta, recipe), "stage_fraction": jnp.log(recipe.stage_fraction)}


M3_STAGES = LogSpaceLaw(
    name="m3_stages",
    coefficients=(
        *M3.coefficients,
        Coefficient(
            "phi",
            (-0.05, 0.05),
            (-3.0, 3.0),
            needs=("first_ratio",),
            meaning="exponent of s^-phi, s the final stage's share of all tokens",
        ),
    ),
    variables=M3.variables,
    formula=M3.formula.replace("·r_e^-eta", "·r_e^-eta·s^-phi"),
    source=f"`m3` and the ratio before the final stage; {M3.source}",
    terms={
        amplitude: powers if amplitude == "P" else {**powers, **_RATIOS}
        for amplitude, powers in M3.terms.items()
    },
    features=_features,
    shapes=M3.shapes,
    diluting=M3.diluting,
)
"""`m3` with its first part times s^-φ, where s = (r − r_1)/(r_f − r_1) is the final stage's share.

r_1, the ratio before the final stage, may be 0 and so has no power of its own; with r and r_f given
s says the same. With one stage s = 1 and the law is `m3`; with r_1 = 0 throughout s = r/r_f, and φ
cannot be told from γ and η.
"""
