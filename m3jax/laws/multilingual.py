"""The multilingual law of He et al.: the Chinchilla law times a power of the target ratio."""

from __future__ import annotations

from ._coefficients import free_exponent
from ._log_space import LogSpaceLaw
from .chinchilla import COEFFICIENTS as CHINCHILLA

_RATIO = {"gamma": (-1, "target_ratio")}

MULTILINGUAL = LogSpaceLaw(
    name="multilingual",
    coefficients=(
        *CHINCHILLA,
        free_exponent("gamma", ("target_ratio",), "exponent of r^-gamma", (0.0, 0.2)),
    ),
    variables=("n_params", "total_tokens", "target_ratio"),
    formula="L = (E + A·N^-alpha + B·D^-beta)·r^-gamma",
    source="He et al. 2024, arXiv:2410.12883",
    terms={
        "E": _RATIO,
        "A": {"alpha": (-1, "n_params"), **_RATIO},
        "B": {"beta": (-1, "total_tokens"), **_RATIO},
    },
)
"""`L = (E + A·N^-α + B·D^-β)·p^-γ` in nats per token, p the target's share of all tokens (r here).

He et al. 2024, arXiv:2410.12883: the loss of a language family depends on the others only through
its own share, and γ not on N and D.
"""
