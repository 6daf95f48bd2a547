"""The Chinchilla law of an effective target corpus that repetition, ratio and stages change."""

from __future__ import annotations

from collections.abc import Mapping

from ..recipe import Array, Recipe
from ._coefficients import free_exponent, saturation
from ._log_space import LogSpaceLaw, log_variables
from .chinchilla import COEFFICIENTS as CHINCHILLA
from .data_constrained import with_free_data
from .m3 import log_repetition


def _features(theta: Mapping[str, Array], recipe: Recipe) -> dict[str, Array]:
    x = log_variables(recipe)
    log_r, log_rf = x["target_ratio"], x["final_ratio"]
    seen = x["target_tokens"] + log_repetition(x["epochs"], theta["R"])
    return {**x, "data": seen - theta["a"] * log_r + theta["b"] * (log_rf - log_r)}


EFFECTIVE_DATA = LogSpaceLaw(
    name="effective_data",
    coefficients=(
        *(with_free_data(c) for c in CHINCHILLA),
        saturation(),
        free_exponent("a", ("target_ratio",), "what source text adds, exponent of 1/r", (0.0, 1.0)),
        free_exponent(
            "b", ("target_ratio", "final_ratio"), "what concentration adds, exponent of r_f/r"
        ),
    ),
    variables=("n_params", "target_tokens", "epochs", "target_ratio", "final_ratio"),
    formula=(
        "L = E + A·N^-alpha + B·(D_T·rho(k;R)·r^-a·(r_f/r)^b)^-beta;"
        " rho = 1 + R·(1 - exp(-(k-1)/R)); read in part, D_T is what is read and k = 1"
    ),
    source="ours: the Chinchilla law in effective target tokens, as a simple rival of `m3`",
    terms={"E": {}, "A": {"alpha": (-1, "n_params")}, "B": {"beta": (-1, "data")}},
    features=_features,
)
"""`L = E + A·N^-α + B·[D_T·ρ(k; R)·r^-a·(r_f/r)^b]^-β` in nats per token.

Ours: everything but model size acts through one effective corpus. At r = 1 and with the model's
excess left out it is `data_constrained`.
"""
