"""A training recipe and everything that follows from it: tokens, compute, stages, regime."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from ._errors import M3Error, option_name
from .computing import array_namespace
from .stages import Batch, stage_plan
from .variables import REGIME_WORDS

Array = Any  # a float, a NumPy array or a JAX array (traced ones too)

MONOLINGUAL, SINGLE_STAGE, TWO_STAGE = 0, 1, 2
REGIMES = tuple(REGIME_WORDS)

# Ratios come out of divisions of token counts: 0.3 and 0.30000000000000004 are one ratio.
RATIO_TOLERANCE = 1e-9


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train on a scarce target corpus, with or without a source language.

    A pytree of arrays (any shapes that broadcast together), usable under `jit`, `vmap` and `grad`.
    `Recipe.create` fills in defaults and checks; the bare constructor does neither.

    Attributes:
        n_params: model size N, parameters.
        target_tokens: unique target-language tokens D_T.
        epochs: passes over the target corpus k = target tokens seen / D_T.
        target_ratio: share r of all training tokens that is target language, 0 < r <= 1.
        final_ratio: share r_f in the final stage, r <= r_f <= 1; r_f = r is one stage.
        first_ratio: share r_1 before the final stage, 0 <= r_1 <= r.
    """

    n_params: Array
    target_tokens: Array
    epochs: Array
    target_ratio: Array
    final_ratio: Array
    first_ratio: Array

    @classmethod
    def create(
        cls,
        *,
        n_params: Array,
        target_tokens: Array,
        epochs: Array,
        target_ratio: Array = 1.0,
        final_ratio: Array | None = None,
        first_ratio: Array | None = None,
    ) -> Recipe:
        """A checked recipe of NumPy arrays broadcast to one shape.

        `final_ratio` defaults to `target_ratio` (one stage); `first_ratio` to 0 where there are two
        stages and to `target_ratio` elsewhere. Raises `M3Error` on values outside their range.
        """
        final = target_ratio if final_ratio is None else final_ratio
        first = target_ratio if first_ratio is None else first_ratio
        parts = np.broadcast_arrays(n_params, target_tokens, epochs, target_ratio, final, first)
        n, tokens, k, r, rf, r1 = (np.asarray(part, dtype=np.float64) for part in parts)
        if first_ratio is None:
            r1 = np.where(rf > r * (1 + RATIO_TOLERANCE), 0.0, r)
        for name, value in (("n_params", n), ("target_tokens", tokens), ("epochs", k)):
            if not np.all((value > 0) & np.isfinite(value)):
                raise M3Error(f"{option_name(name)}: expected positive finite numbers, got {value}")
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            if not np.all(np.isfinite(6.0 * n * tokens * k / r) | ~(r > 0)):
                raise M3Error("n_params, target_tokens, epochs: the compute 6ND is not finite")
        slack = 1 + RATIO_TOLERANCE
        if not np.all((r > 0) & (r <= slack)):
            raise M3Error(f"{option_name('target_ratio')}: expected 0 < r <= 1, got {r}")
        if not np.all((rf * slack >= r) & (rf <= slack)):
            name = option_name("final_ratio")
            raise M3Error(f"{name}: expected target_ratio <= final_ratio <= 1, got {rf}")
        # With two stages and r_1 = r the final stage would have no tokens.
        two = rf > r * slack
        if not np.all((r1 >= 0) & np.where(two, r1 < r, r1 <= r * slack)):
            raise M3Error(
                f"{option_name('first_ratio')}: expected 0 <= first_ratio <= target_ratio, and less"
                f" than it where there are two stages, got {r1}"
            )
        return cls(n, tokens, k, np.minimum(r, 1.0), np.minimum(rf, 1.0), np.minimum(r1, r))

    def as_read(self) -> Recipe:
        """The same training with the corpus cut to what is read of it: `epochs` >= 1.

        Below one epoch the text that is not read has no say: (D_T, k) is (k·D_T, 1). Tokens and
        compute stay what they are.
        """
        whole, xp = self.epochs >= 1, self._namespace
        return dataclasses.replace(
            self,
            target_tokens=xp.where(whole, self.target_tokens, self.target_tokens_seen),
            epochs=xp.where(whole, self.epochs, xp.ones_like(self.epochs)),
        )

    @property
    def target_tokens_seen(self) -> Array:
        """Target tokens trained on, repeats counted: k·D_T."""
        return self.epochs * self.target_tokens

    @property
    def total_tokens(self) -> Array:
        """All tokens trained on: D = k·D_T / r."""
        return self.target_tokens_seen / self.target_ratio

    @property
    def source_tokens(self) -> Array:
        """Source-language tokens trained on: D_S = D − k·D_T."""
        return self.target_tokens_seen * (1 - self.target_ratio) / self.target_ratio

    @property
    def compute(self) -> Array:
        """Training compute in FLOP, by the usual C = 6·N·D."""
        return 6.0 * self.n_params * self.total_tokens

    @property
    def is_two_stage(self) -> Array:
        """True where the final stage holds more of the target language than the average."""
        return self.final_ratio > self.target_ratio * (1 + RATIO_TOLERANCE)

    @property
    def stage_fraction(self) -> Array:
        """Share of all tokens in the final stage: s = (r − r_1) / (r_f − r_1); 1 with one stage.

        Follows from r = s·r_f + (1 − s)·r_1.
        """
        two, xp = self.is_two_stage, self._namespace
        span = xp.where(two, self.final_ratio - self.first_ratio, 1.0)
        return xp.where(two, (self.target_ratio - self.first_ratio) / span, 1.0)

    @property
    def regime(self) -> Array:
        """Index into `REGIMES`: 0 monolingual, 1 multilingual single-stage, 2 two-stage."""
        xp = self._namespace
        multilingual = xp.where(self.is_two_stage, TWO_STAGE, SINGLE_STAGE)
        return xp.where(self.target_ratio >= 1 - RATIO_TOLERANCE, MONOLINGUAL, multilingual)

    @property
    def _namespace(self) -> Any:
        # NumPy recipes stay in float64 whatever JAX's global precision is.
        return array_namespace(*jax.tree.leaves(self))

    def stage_plan(self, batch: Batch | None = None) -> list[dict[str, Any]]:
        """What to feed the trainer, stage by stage, for one (unbatched) recipe.

        Each stage is a dict: `stage` (from 1), `fraction` (of all tokens), `tokens`,
        `target_tokens` and `source_tokens` (training tokens, repeats counted, whole numbers that
        sum exactly), `target_probability` and `source_probability` (sampling, they sum to 1) and
        `target_epochs` (passes over the target corpus in this stage). A stage of zero tokens is
        left out.

        With a `batch` all of it is in whole steps and in sequences of one language, and there are
        also `target_sequences`, `source_sequences`, `steps`, `first_step` and `last_step` (counted
        from 1 through the run). What does not fill a last step is not trained on, so that a budget
        is never exceeded; each stage has at least one step.

        Raises `M3Error` for a batch of recipes, or if there are fewer tokens (steps) than stages.
        """
        if any(np.ndim(leaf) for leaf in jax.tree.leaves(self)):
            raise M3Error("stage_plan: expected one recipe, got a batch")
        stages = [(1.0, float(self.target_ratio))]
        if bool(self.is_two_stage):
            last = float(self.stage_fraction)
            stages = [(1 - last, float(self.first_ratio)), (last, float(self.final_ratio))]
        return stage_plan(stages, float(self.total_tokens), float(self.target_tokens), batch)
