"""One training run in whole windows and steps, and the order in which it reads its text."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from ..recipe import Recipe
from ._model import Shape

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Trial:
    """A run as it will be done: counts of windows, from which all tokens and ratios follow exactly.

    Attributes:
        language: of the target text.
        shape: of the model.
        length: tokens predicted in a window.
        batch: windows a step.
        steps: of the optimizer, both stages together.
        unique: windows of the scarce corpus; each is read once an epoch.
        first_steps: before the final stage; 0 with one stage.
        first_target: target windows read before the final stage.
        final_target: target windows read in the final stage.
        seed: decides the parameters at the start, which windows are the corpus, and their order.
    """

    language: str
    shape: Shape
    length: int
    batch: int
    steps: int
    unique: int
    first_steps: int
    first_target: int
    final_target: int
    seed: int

    @classmethod
    def near(
        cls,
        language: str,
        shape: Shape,
        *,
        length: int,
        batch: int,
        steps: int,
        target_tokens: float,
        target_ratio: float,
        final_ratio: float,
        first_ratio: float,
        seed: int,
    ) -> Trial:
        """The run in whole windows nearest to these ratios; without `shape` n_params is given.

        A final stage too short or too weak to differ from the first becomes one stage.
        """
        windows = steps * batch
        unique = max(round(target_tokens / length), 1)
        seen = min(max(round(target_ratio * windows), 1), windows)
        one_stage = cls(language, shape, length, batch, steps, unique, 0, 0, seen, seed)
        if final_ratio <= target_ratio:
            return one_stage
        fraction = (target_ratio - first_ratio) / (final_ratio - first_ratio)
        final_steps = min(max(round(fraction * steps), 1), steps)
        first_steps = steps - final_steps
        final = min(round(final_ratio * final_steps * batch), seen)
        two_stage = dataclasses.replace(
            one_stage, first_steps=first_steps, first_target=seen - final, final_target=final
        )
        distinct = (
            first_steps and two_stage.first_ratio < two_stage.target_ratio < two_stage.final_ratio
        )
        return (
            two_stage if distinct and two_stage.first_target <= first_steps * batch else one_stage
        )

    @property
    def windows(self) -> int:
        """Windows read in all."""
        return self.steps * self.batch

    @property
    def target_windows(self) -> int:
        """Windows of target text read, repeats counted."""
        return self.first_target + self.final_target

    @property
    def total_tokens(self) -> int:
        """Tokens trained on, D."""
        return self.windows * self.length

    @property
    def target_tokens(self) -> int:
        """Unique target tokens, D_T."""
        return self.unique * self.length

    @property
    def epochs(self) -> float:
        """Passes over the scarce corpus, k."""
        return self.target_windows / self.unique

    @property
    def target_ratio(self) -> float:
        """Share of target tokens in all, r."""
        return self.target_windows / self.windows

    @property
    def final_ratio(self) -> float:
        """That share in the final stage, r_f."""
        return self.final_target / ((self.steps - self.first_steps) * self.batch)

    @property
    def first_ratio(self) -> float:
        """That share before it, r_1; with one stage the same."""
        if not self.first_steps:
            return self.target_ratio
        return self.first_target / (self.first_steps * self.batch)

    @property
    def source_windows(self) -> int:
        """Windows of source text read, repeats counted."""
        return self.windows - self.target_windows

    @property
    def compute(self) -> float:
        """Training compute 6·N·D, FLOP."""
        return 6.0 * self.shape.n_params * self.total_tokens

    def recipe(self) -> Recipe:
        """What a law sees of this run."""
        return Recipe.create(
            n_params=self.shape.n_params,
            target_tokens=self.target_tokens,
            epochs=self.epochs,
            target_ratio=self.target_ratio,
            final_ratio=self.final_ratio,
            first_ratio=self.first_ratio,
        )


def reading_order(trial: Trial, target: Array, source: Array) -> Array:
    """Starts of the windows read, (steps, batch), from those of each text's training windows.

    The scarce corpus is `trial.unique` windows drawn from `target`. Its windows are read in epochs,
    each a fresh shuffle of all of them, through both stages; the last epoch may stop short. Source
    windows are shuffled, and shuffled anew only where the run needs more than there are. Within a
    stage, target windows are spread evenly, so that all batches have the same share up to one.
    Raises `M3Error` if `target` has fewer windows than the corpus.
    """
    if trial.unique > len(target):
        raise M3Error(
            f"{trial.language}: {trial.target_tokens} unique target tokens asked for, the text has"
            f" {len(target) * trial.length} to train on"
        )
    rng = np.random.default_rng(trial.seed)
    corpus = rng.permutation(target)[: trial.unique]
    is_target = np.concatenate(
        [
            evenly_spread(trial.first_target, trial.first_steps * trial.batch),
            evenly_spread(trial.final_target, (trial.steps - trial.first_steps) * trial.batch),
        ]
    )
    order = np.empty(trial.windows, dtype=np.int64)
    order[is_target] = _in_epochs(rng, corpus, trial.target_windows)
    order[~is_target] = _in_epochs(rng, source, trial.source_windows)
    return order.reshape(trial.steps, trial.batch)


def evenly_spread(count: int, places: int) -> Array:
    """`count` of `places` marked, evenly, (places,) bool."""
    marks = np.arange(places + 1, dtype=np.int64) * count // max(places, 1)
    return np.diff(marks) > 0


def _in_epochs(rng: np.random.Generator, windows: Array, count: int) -> Array:
    epochs = [rng.permutation(windows) for _ in range(-(-count // len(windows)))] if count else []
    return np.concatenate([*epochs, windows[:0]])[:count]
