"""The posynomial relative of the M³ law: the best recipe becomes a geometric program."""

from __future__ import annotations

from ..variables import RUN_VARIABLES
from ._base import Coefficient
from ._log_space import LogSpaceLaw
from .chinchilla import COEFFICIENTS as CHINCHILLA
from .m3 import PENALTY, RATIOS, base_terms

M3_POSYNOMIAL = LogSpaceLaw(
    name="m3_posynomial",
    coefficients=(
        *CHINCHILLA,
        *RATIOS,
        *PENALTY,
        Coefficient(
            "zeta",
            (-0.5, 0.5),
            (-3.0, 3.0),
            needs=("target_ratio", "epochs"),
            meaning="growth of the penalty with the target ratio, exponent of r",
        ),
        Coefficient(
            "theta",
            (-0.5, 0.5),
            (-3.0, 3.0),
            needs=("target_ratio", "final_ratio", "epochs"),
            meaning="growth of the penalty with concentration, exponent of r_f",
        ),
    ),
    variables=tuple(name for name in RUN_VARIABLES if name != "first_ratio"),
    formula=(
        "L = (E + A·N^-alpha + B·D^-beta)·r^-gamma·r_f^-eta"
        " + P·k^delta·N^kappa·D_T^-omega·r^zeta·r_f^theta"
    ),
    source=(
        "the `m3` law with R = infinity, r^zeta in place of the source discount tau, the penalty as"
        " it is and a final stage that counts whole however short"
    ),
    terms={
        **base_terms("final_ratio"),
        "P": {
            "delta": (1, "epochs"),
            "kappa": (1, "n_params"),
            "omega": (-1, "target_tokens"),
            "zeta": (1, "target_ratio"),
            "theta": (1, "final_ratio"),
        },
    },
)
"""`L = (E + A·N^-α + B·D^-β)·r^-γ·r_f^-η + P·k^δ·N^κ·D_T^-ω·r^ζ·r_f^θ`, in nats per token.

The relative of `m3` that is a sum of monomials in (N, k, r, r_f, D_T): the loss is convex in
log-variables, so a local optimum under monomial constraints is the optimum.
"""
