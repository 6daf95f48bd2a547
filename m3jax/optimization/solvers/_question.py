"""The arrays of a question about the best recipe: budgets, corpus size, bounds and caps."""

from __future__ import annotations

import dataclasses

import jax

from ...recipe import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Question:
    """What one problem asks, in the user's units; leaves () or (P,), infinite without a cap.

    Attributes:
        compute: FLOP, training 6·N·D and serving 2·N·inference_tokens.
        target_tokens: D_T.
        low, high: bounds of (n_params, epochs, target_ratio, final_ratio), (4,) or (4, P).
        stage_low, stage_high: of the final stage's share of tokens.
        first_share: r_1 / r in two-stage recipes.
        first_ratio: lowest r_1; 0 for none.
        total_tokens, source_tokens: caps; the latter is unique tokens times epochs over them.
        inference_tokens: 0 for none.
        gpu_flops: training FLOP that the GPU hours allow.
    """

    compute: Array
    target_tokens: Array
    low: Array
    high: Array
    stage_low: Array
    stage_high: Array
    first_share: Array
    first_ratio: Array
    total_tokens: Array
    source_tokens: Array
    inference_tokens: Array
    gpu_flops: Array
