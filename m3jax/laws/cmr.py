"""The law behind the critical mixture ratio (CMR) of continual pre-training."""

from __future__ import annotations

from ._coefficients import amplitude, exponent, free_exponent
from ._log_space import LogSpaceLaw
from .chinchilla import COEFFICIENTS as CHINCHILLA

CMR = LogSpaceLaw(
    name="cmr",
    coefficients=(
        CHINCHILLA[0],
        amplitude("B", (), "size of the data term, nats at one token of target text"),
        exponent("beta", ("total_tokens",), "exponent of total tokens"),
        free_exponent("gamma", ("target_ratio",), "exponent of the ratio", (0.0, 0.8)),
    ),
    variables=("total_tokens", "target_ratio", "final_ratio"),
    formula="L = E + B·D^-beta·r_f^-gamma",
    source=(
        "Gu et al. 2024, arXiv:2407.17467, from a secondary source that gives power laws in the"
        " ratio and in the tokens; their product is ours"
    ),
    terms={"E": {}, "B": {"beta": (-1, "total_tokens"), "gamma": (-1, "final_ratio")}},
)
"""`L = E + B·D^-β·r_f^-γ` in nats per token, at one model size.

After Gu et al. 2024, arXiv:2407.17467, from a secondary source: a power law of the domain's loss in
the mixture ratio and one in the tokens, fitted at each model size; that they multiply is ours. The
mixture is that of the last stage, r_f here; runs of one stage have r_f = r. Model size is no
variable: runs of several sizes are averaged over.
"""
