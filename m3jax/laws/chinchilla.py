"""The Chinchilla law of model size and total tokens."""

from __future__ import annotations

import dataclasses

from ._base import Coefficient
from ._log_space import LogSpaceLaw, log_variables

COEFFICIENTS = (
    Coefficient(
        "E", (0.5, 3.0), (1e-6, 1e3), log=True, neutral=1e-6, meaning="irreducible loss, nats"
    ),
    Coefficient(
        "A",
        (1e0, 1e4),
        (1e-60, 1e60),
        log=True,
        neutral=1e-60,
        needs=("n_params",),
        meaning="size of the model-size term, nats at one parameter",
    ),
    Coefficient(
        "alpha",
        (0.1, 0.8),
        (0.0, 3.0),
        neutral=0.35,
        needs=("n_params",),
        meaning="exponent of model size",
    ),
    Coefficient(
        "B",
        (1e0, 1e4),
        (1e-60, 1e60),
        log=True,
        neutral=1e-60,
        needs=("total_tokens",),
        meaning="size of the data term, nats at one token",
    ),
    Coefficient(
        "beta",
        (0.1, 0.8),
        (0.0, 3.0),
        neutral=0.35,
        needs=("total_tokens",),
        meaning="exponent of total tokens",
    ),
)

CHINCHILLA = LogSpaceLaw(
    name="chinchilla",
    coefficients=COEFFICIENTS,
    variables=("n_params", "total_tokens"),
    formula="L = E + A·N^-alpha + B·D^-beta",
    source="Hoffmann et al. 2022, arXiv:2203.15556; coefficients of Besiroglu et al. 2024",
    published={
        "Besiroglu et al. 2024 (arXiv:2404.10102), 240 runs": {
            "E": 1.817236,
            "A": 477.842,
            "alpha": 0.347313,
            "B": 2143.864,
            "beta": 0.367183,
        }
    },
    terms={"E": {}, "A": {"alpha": (-1, "n_params")}, "B": {"beta": (-1, "total_tokens")}},
)
"""`L = E + A·N^-α + B·D^-β` in nats per token; N in parameters, D total tokens seen.

Hoffmann et al. 2022, arXiv:2203.15556, equation 2.
"""

CHINCHILLA_TIED = LogSpaceLaw(
    name="chinchilla_tied",
    coefficients=tuple(
        dataclasses.replace(c, needs=(), meaning="exponent of model size and of total tokens")
        if c.name == "alpha"
        else c
        for c in COEFFICIENTS
        if c.name != "beta"
    ),
    variables=("n_params", "total_tokens"),
    formula="L = E + A·N^-alpha + B·D^-alpha",
    source="Hoffmann et al. 2022, arXiv:2203.15556, with one exponent",
    published={
        "Muennighoff et al. 2023 (arXiv:2305.16264), base": {
            "E": 1.8691436784,
            "A": 520.82495166,
            "alpha": 0.3526596,
            "B": 1487.71609378,
        }
    },
    terms={"E": {}, "A": {"alpha": (-1, "n_params")}, "B": {"alpha": (-1, "total_tokens")}},
    # One exponent goes with two features: the Jacobian is left to differentiation.
    features=lambda theta, recipe: log_variables(recipe),
)
"""`L = E + A·N^-α + B·D^-α` in nats per token: the Chinchilla law with α = β.

The form in which Muennighoff et al. 2023, arXiv:2305.16264, fitted their runs of one epoch: the
best model size is proportional to the tokens at every budget.
"""
