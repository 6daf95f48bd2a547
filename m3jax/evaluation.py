"""Hold-outs: how well each law predicts the runs it has not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ._errors import M3Error
from ._progress import Progress, silent
from .fitting import fit
from .laws import Law, get_law
from .runs import RunTable

# What is held out: the runs at the far end of a variable. +1 the highest, −1 the lowest.
_FAR_END = {
    "compute": 1,
    "n_params": 1,
    "total_tokens": 1,
    "epochs": 1,
    "target_tokens": -1,
    "target_ratio": -1,
}
HOLDOUTS = (*_FAR_END, "two-stage")


@dataclasses.dataclass(frozen=True)
class Score:
    """How a law fitted without the held-out runs of a language predicts them.

    Attributes:
        law, language, holdout: what was fitted, to whom, without what.
        n_train, n_test: runs.
        objective: sum of Huber losses on the training runs; None if the law could not be fitted.
        mae: mean absolute error on the held-out runs, nats per token.
        mean_relative_error: mean of |predicted/measured − 1| on them.
        r2: share of their variance explained (negative: worse than their mean).
        message: why there are no figures, else None.
    """

    law: str
    language: str
    holdout: str
    n_train: int
    n_test: int
    objective: float | None = None
    mae: float | None = None
    mean_relative_error: float | None = None
    r2: float | None = None
    message: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As a flat dict."""
        return dataclasses.asdict(self)


def holdout_mask(runs: RunTable, holdout: str, *, fraction: float = 0.2) -> np.ndarray:
    """Which runs to hold out, shape (n,) bool: in each language the `fraction` at the far end.

    The far end of a variable is its highest value (compute, n_params, total_tokens, epochs) or its
    lowest (target_tokens, target_ratio); "two-stage" holds out all two-stage runs. Runs with equal
    values go together, and so do checkpoints that share a `run_id`; a language whose runs all have
    one value has nothing held out. Raises `M3Error` on an unknown hold-out or fraction.
    """
    if holdout not in HOLDOUTS:
        raise M3Error(f"unknown hold-out {holdout!r}; known: {', '.join(HOLDOUTS)}")
    if not 0 < fraction < 1:
        raise M3Error(f"hold-out fraction: expected a number between 0 and 1, got {fraction}")
    if holdout == "two-stage":
        far = np.asarray(runs.recipe.is_two_stage)
    else:
        value = _FAR_END[holdout] * np.asarray(getattr(runs.recipe, holdout))
        far = np.zeros(len(runs), dtype=bool)
        for name in runs.languages:
            here = runs.language == name
            tolerance = 1e-9 * np.abs(value[here]).max()
            edge = np.quantile(value[here], 1 - fraction, method="higher")
            lowest = value[here].min()
            if edge <= lowest + tolerance:  # so many equal values that the edge is the near end
                above = value[here][value[here] > lowest + tolerance]
                edge = above.min() if len(above) else np.inf
            far[here] = value[here] >= edge - tolerance
    clusters = {(a, b) for a, b in zip(runs.language[far], runs.run_id[far], strict=True)}
    together = zip(runs.language, runs.run_id, strict=True)
    return np.array([pair in clusters for pair in together], dtype=bool)


def compare(
    runs: RunTable,
    laws: Sequence[str | Law],
    *,
    holdouts: Sequence[str] = ("compute",),
    fraction: float = 0.2,
    huber_delta: float = 1e-3,
    starts: int = 8,
    prior: str = "weak",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Score]:
    """Fit every law without the held-out runs and score it on them.

    `huber_delta`, `starts`, `prior` and `seed` are those of `fit`; runs of weight 0 are not scored.
    One score for each law, hold-out and language, in that order of nesting. Where a law cannot be
    fitted or nothing is held out, the score says so. Raises `M3Error` on unknown laws or hold-outs.
    """
    report = progress or silent
    chosen = [get_law(law) for law in laws]
    masks = {name: holdout_mask(runs, name, fraction=fraction) for name in holdouts}
    scores = []
    steps = len(chosen) * len(masks)
    for i, (law, (holdout, held)) in enumerate(
        (law, item) for law in chosen for item in masks.items()
    ):
        report("comparing", i, steps)
        kept = ~held & np.isin(runs.language, list(_with_both(runs, held)))
        fits = None
        if kept.any():
            fits = fit(
                runs.select(kept),
                law,
                huber_delta=huber_delta,
                starts=starts,
                prior=prior,
                seed=seed,
                draws=0,
            )
        for language in runs.languages:
            here = runs.language == language
            train, test = here & ~held, here & held & (runs.weight > 0)
            score = Score(law.name, language, holdout, int(train.sum()), int(test.sum()))
            if not test.any() or not train.any():
                reason = f"nothing is held out: {holdout} does not vary"
                if not train.any():
                    reason = "nothing is left to fit: all runs are, or share a run_id with, the far"
                    reason += " end"
                score = dataclasses.replace(score, message=reason)
            elif fits is None or language in fits.failed:
                reason = fits.failed[language][1] if fits else "nothing is left to fit"
                score = dataclasses.replace(score, message=reason)
            else:
                k = fits.index(language)
                recipe = jax.tree.map(lambda leaf, test=test: leaf[test], runs.recipe)
                score = _scored(score, fits.predict(recipe, language), runs.loss[test])
                score = dataclasses.replace(score, objective=float(fits.objective[k]))
            scores.append(score)
    report("comparing", steps, steps)
    return scores


def _with_both(runs: RunTable, held: np.ndarray) -> set[str]:
    """Languages with runs on both sides."""
    return set(runs.language[held]) & set(runs.language[~held])


def _scored(score: Score, predicted: np.ndarray, measured: np.ndarray) -> Score:
    spread = np.sum((measured - measured.mean()) ** 2)
    return dataclasses.replace(
        score,
        mae=float(np.mean(np.abs(predicted - measured))),
        mean_relative_error=float(np.mean(np.abs(predicted / measured - 1))),
        r2=float(1 - np.sum((predicted - measured) ** 2) / spread) if spread > 0 else None,
    )
