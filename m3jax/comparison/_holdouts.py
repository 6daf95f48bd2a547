"""Hold-outs: which runs a law is fitted without, and how far from the others they are."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from .._errors import M3Error
from ..options import HOLDOUTS
from ..runs import FAR_END, RunTable, far_end

_SINGLE = (*FAR_END, "two-stage")
FOLDS = 5
ANCHORS = 3  # runs that a left-out language keeps: pooling needs as many


class Split(NamedTuple):
    """Runs to fit and runs to predict, (n,) bool each; runs in neither are left aside.

    `pooled` says that languages are fitted together, so that one may be predicted from the others.
    """

    fitted: np.ndarray
    held: np.ndarray
    pooled: bool = False


def holdout_mask(runs: RunTable, holdout: str, *, fraction: float = 0.2) -> np.ndarray:
    """Which runs to hold out, shape (n,) bool: in each language the `fraction` at the far end.

    The far end of a variable is its highest value (compute, n_params, total_tokens, epochs) or its
    lowest (target_tokens, target_ratio); "two-stage" holds out all two-stage runs. Runs with equal
    values go together, and so do checkpoints that share a `run_id`; a language whose runs all have
    one value has nothing held out. Raises `M3Error` on an unknown hold-out or fraction, and for
    "folds" and "language", which are several splits: see `splits`.
    """
    check_holdout(holdout, fraction)
    if holdout not in _SINGLE:
        raise M3Error(f"hold-out {holdout!r} is made of several splits, not one mask")
    if holdout == "two-stage":
        far = np.asarray(runs.recipe.is_two_stage)
    else:
        far = np.zeros(len(runs), dtype=bool)
        for name in runs.languages:
            here = np.flatnonzero(runs.language == name)
            recipe = jax.tree.map(lambda leaf, here=here: leaf[here], runs.recipe)
            far[here] = far_end(recipe, holdout, fraction)
    clusters = {(a, b) for a, b in zip(runs.language[far], runs.run_id[far], strict=True)}
    together = zip(runs.language, runs.run_id, strict=True)
    return np.array([pair in clusters for pair in together], dtype=bool)


def splits(
    runs: RunTable, holdout: str, *, fraction: float = 0.2, seed: int = 0
) -> tuple[Split, ...]:
    """The splits that a hold-out is made of.

    Those of `holdout_mask` are one. "folds" deals the clusters (runs that share a `run_id`) of each
    language into five at random and holds out each fold in turn. "language" leaves out one language
    at a time but for its three cheapest runs, which say where its losses lie; it is fitted pooled
    with the others. Raises `M3Error` on an unknown hold-out or fraction.
    """
    check_holdout(holdout, fraction)
    if holdout == "folds":
        fold = _folds(runs, seed)
        return tuple(Split(fold != i, fold == i) for i in range(FOLDS) if np.any(fold == i))
    if holdout == "language":
        names = runs.languages
        return tuple(_without(runs, name) for name in (names if len(names) > 1 else ()))
    held = holdout_mask(runs, holdout, fraction=fraction)
    return (Split(~held, held),)


def check_holdout(holdout: str, fraction: float) -> None:
    """Raise `M3Error` on an unknown hold-out, or a fraction that is none."""
    if holdout not in HOLDOUTS:
        raise M3Error(f"unknown hold-out {holdout!r}; known: {', '.join(HOLDOUTS)}")
    if not 0 < fraction < 1:
        raise M3Error(f"hold-out fraction: expected a number between 0 and 1, got {fraction}")


def _folds(runs: RunTable, seed: int) -> np.ndarray:
    """The fold of each run, (n,)."""
    fold = np.empty(len(runs), dtype=np.int64)
    for i, name in enumerate(runs.languages):
        here = np.flatnonzero(runs.language == name)
        _, cluster = np.unique(runs.run_id[here].astype(str), return_inverse=True)
        count = cluster.max() + 1
        dealt = np.random.default_rng([seed, 6, i]).permutation(count) % FOLDS
        fold[here] = dealt[cluster]
    return fold


def _without(runs: RunTable, language: str) -> Split:
    here = runs.language == language
    order = np.argsort(np.asarray(runs.recipe.compute)[here], kind="stable")
    cheapest = list(dict.fromkeys(runs.run_id[here][order].tolist()))[:ANCHORS]
    held = here & ~np.isin(runs.run_id, cheapest)
    return Split(~held, held, pooled=True)


def extrapolation_distance(runs: RunTable, split: Split) -> np.ndarray:
    """How far each held-out run is from the nearest fitted run of its language, (n,), in decades.

    The distance is Euclidean in log10 of model size, unique target tokens, epochs, target ratio and
    final ratio; NaN for runs that are not held out or have nothing to be measured from.
    """
    leaves = [leaf for name, leaf in vars(runs.recipe).items() if name != "first_ratio"]
    point = np.log10(np.stack(jax.tree.map(np.asarray, leaves), axis=-1))
    out = np.full(len(runs), np.nan)
    for name in runs.languages:
        here = runs.language == name
        test, train = np.flatnonzero(here & split.held), point[here & split.fitted]
        if len(train):
            for i in test:
                out[i] = np.sqrt(np.min(np.sum((train - point[i]) ** 2, axis=1)))
    return out
