"""The additive mixture law of Shukor et al.: the Chinchilla law and a term in the mixture."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._base import Coefficient
from ._coefficients import amplitude
from ._log_space import ABSENT, LogSpaceLaw, log_sum, log_variables
from .chinchilla import COEFFICIENTS as CHINCHILLA

_MIXED = ("target_ratio",)


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    ratio = recipe.target_ratio
    mixed = ratio < 1
    rest = jnp.log1p(-jnp.where(mixed, ratio, 0.5))
    return {**log_variables(recipe), "source_ratio": jnp.where(mixed, rest, ABSENT)}


def _combine(theta: Mapping[str, Array], terms: Mapping[str, Array]) -> Array:
    mixture = -jnp.logaddexp(-terms["C"], -terms["S"])
    return log_sum(terms["E"], terms["A"], terms["B"], mixture)


ADDITIVE_MIXTURE = LogSpaceLaw(
    name="additive_mixture",
    coefficients=(
        *CHINCHILLA,
        amplitude("C", _MIXED, "mixture term with the target alone, nats at r = 1"),
        Coefficient(
            "gamma",
            (0.1, 0.8),
            (0.0, 3.0),
            neutral=0.35,
            needs=_MIXED,
            meaning="exponent of the target's ratio",
        ),
        Coefficient(
            "S",
            (1.0, 1e4),
            (1e-60, 1e60),
            log=True,
            neutral=1e60,  # a source that says nothing about the target
            needs=_MIXED,
            meaning="mixture term with the source alone, nats at r = 0",
        ),
        Coefficient(
            "sigma",
            (0.1, 0.8),
            (0.05, 3.0),  # no source, no effect of it
            neutral=0.35,
            needs=_MIXED,
            meaning="exponent of the source's ratio",
        ),
    ),
    variables=("n_params", "total_tokens", "target_ratio"),
    formula=("L = E + A·N^-alpha + B·D^-beta + 1/(r^gamma/C + (1 - r)^sigma/S)"),
    source="Shukor et al. 2025, arXiv:2507.09404; the formula from a secondary source",
    terms={
        "E": {},
        "A": {"alpha": (-1, "n_params")},
        "B": {"beta": (-1, "total_tokens")},
        "C": {"gamma": (-1, "target_ratio")},
        "S": {"sigma": (-1, "source_ratio")},
    },
    features=_features,
    combine=_combine,
)
"""`L = E + 1/(Σ_i C_i·h_i^γ_i) + A·N^-α + B·D^-β` in nats per token, of target and source.

Shukor et al. 2025, arXiv:2507.09404, the additive law, from a secondary source; h are the shares r
and 1 − r of the two languages. C and S are 1/C_1 and 1/C_2, the mixture term in nats with each
language alone.
"""
