"""The law of domain-specific continual pre-training (D-CPT)."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._base import Coefficient
from ._coefficients import amplitude, exponent, free_exponent
from ._log_space import LogSpaceLaw, log_variables
from .chinchilla import COEFFICIENTS as CHINCHILLA

_MIXED = ("target_ratio",)


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    x = log_variables(recipe)
    return {**x, "shifted_ratio": jnp.logaddexp(x["final_ratio"], theta["epsilon"])}


D_CPT = LogSpaceLaw(
    name="d_cpt",
    coefficients=(
        *CHINCHILLA,
        free_exponent("eta", _MIXED, "growth of the data term with the ratio"),
        amplitude("C", _MIXED, "size of the ratio term, nats"),
        exponent("gamma", _MIXED, "exponent of the ratio term"),
        Coefficient(
            "epsilon",
            (1e-2, 0.3),
            (1e-6, 10.0),
            log=True,
            neutral=0.1,
            needs=_MIXED,
            meaning="keeps the ratio term finite at no target text",
        ),
    ),
    variables=("n_params", "total_tokens", "target_ratio", "final_ratio"),
    formula=("L = E + A·N^-alpha + B·r_f^eta·D^-beta + C·(r_f + epsilon)^-gamma"),
    source="Que et al. 2024, arXiv:2406.01375; the formula from a secondary source",
    terms={
        "E": {},
        "A": {"alpha": (-1, "n_params")},
        "B": {"beta": (-1, "total_tokens"), "eta": (1, "final_ratio")},
        "C": {"gamma": (-1, "shifted_ratio")},
    },
    features=_features,
    shapes={"shifted_ratio": "epsilon"},
)
"""`L = E + A·N^-α + B·r^η·D^-β + C·(r + ε)^-γ` in nats per token.

Que et al. 2024, arXiv:2406.01375, from a secondary source. A law of continual pre-training, whose
mixture is that of the last stage: r is r_f here, and D all tokens. Runs of one stage have r_f = r.
"""
