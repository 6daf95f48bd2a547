"""The arrays of a question about the best recipe: budgets, corpus size, bounds and caps."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from ...recipe import Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Question:
    """What one problem asks, in the user's units; leaves () or (P,), infinite without a cap.

    Attributes:
        compute: FLOP, training 6·N·D and serving 2·N·inference_tokens.
        target_tokens: unique target tokens at hand; recipes may read a part of them.
        low, high: bounds of (n_params, epochs, target_ratio, final_ratio), (4,) or (4, P).
        stage_low, stage_high: of the final stage's share of tokens.
        first_share: r_1 / r in two-stage recipes.
        first_ratio: lowest r_1; 0 for none.
        total_tokens, source_tokens: caps; the latter is unique tokens times epochs over them.
        inference_tokens: 0 for none.
        gpu_flops: training FLOP that the GPU hours allow.
        least_tokens: unique target tokens that are read at least.
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
    least_tokens: Array = 1.0

    def fewest_passes(self, xp: Any = np) -> Array:
        """Epochs over what is read where that is a part of the text: those allowed nearest to 1.

        A law sees no difference between less text and fewer epochs below one.
        """
        return xp.clip(1.0, self.low[1], self.high[1])

    def as_read(self, passes: np.ndarray) -> tuple[Array, Array]:
        """Unique tokens read and epochs over them, where k·D_T / (tokens at hand) is `passes`.

        The text at hand once it is read as often as need be; below that only a part of it, which
        no law finds worse than all of it read less often than is allowed.
        """
        fewest = self.fewest_passes()
        share = np.minimum(passes / fewest, 1.0)
        return self.target_tokens * share, np.maximum(passes, fewest)
