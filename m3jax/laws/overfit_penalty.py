"""The Chinchilla law and what overfitting to a repeated corpus adds to it."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from ..recipe import Array, Recipe
from ._base import Coefficient
from ._coefficients import amplitude
from ._log_space import ABSENT, LogSpaceLaw, log_variables
from .chinchilla import COEFFICIENTS as CHINCHILLA

_REPEATED = ("epochs",)


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    x = log_variables(recipe)
    log_k = x["epochs"]
    repeated = log_k > 0
    repeats = jnp.log(jnp.expm1(jnp.where(repeated, log_k, 1.0)))
    return {
        **x,
        "repeats": jnp.where(repeated, repeats, ABSENT),
        "params_per_token": x["n_params"] - x["target_tokens"],
    }


OVERFIT_PENALTY = LogSpaceLaw(
    name="overfit_penalty",
    coefficients=(
        *CHINCHILLA,
        amplitude("P", _REPEATED, "size of the penalty, nats"),
        Coefficient(
            "delta",
            (0.3, 2.0),
            (0.1, 6.0),  # no repeats, no penalty
            neutral=1.0,
            needs=_REPEATED,
            meaning="growth of the penalty with repeats",
        ),
        Coefficient(
            "kappa",
            (0.1, 1.0),
            (0.0, 4.0),
            neutral=0.5,
            needs=_REPEATED,
            meaning="growth of the penalty with parameters per unique token",
        ),
    ),
    variables=("n_params", "target_tokens", "epochs", "total_tokens"),
    formula=(
        "L = E + A·N^-alpha + B·D^-beta + P·R^delta·(N/U)^kappa; R = max(k - 1, 0) repeats;"
        " U = D_T·min(k, 1) unique tokens read"
    ),
    source="arXiv:2605.01640; the formula from a secondary source",
    terms={
        "E": {},
        "A": {"alpha": (-1, "n_params")},
        "B": {"beta": (-1, "total_tokens")},
        "P": {"delta": (1, "repeats"), "kappa": (1, "params_per_token")},
    },
    features=_features,
    shapes={},
)
"""`L = E + A·N^-α + B·D^-β + P·R^δ·(N/U)^κ` in nats per token, with R = k − 1 repeats of U tokens.

Lovelace et al. 2026, arXiv:2605.01640 ("Prescriptive Scaling Laws for Data Constrained Training"),
who write D as U·(1 + R). The formula is from a secondary source. Theirs is a law of one corpus; of
a mixture, D here is all tokens, and U and R are those of the target language.
"""
