"""Weights of laws from how they predict runs that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._errors import M3Error
from ..runs import RunTable
from ._held_out import HeldOut

_DRAWS = 100
_STEPS = 500
_RIDGE = 1e-3  # in units of the best law's error


def stacking_weights(
    runs: RunTable, held_out: Sequence[HeldOut], language: str, *, seed: int = 0
) -> dict[str, float]:
    """Weight of each law, by name, that sum to one, from its predictions of held-out runs.

    Stacking: the convex combination of the laws' predictions that has the least squared log error
    on the held-out runs of all hold-outs given (Wolpert 1992; Breiman 1996), each hold-out counting
    the same. Averaged over Bayesian-bootstrap draws of the held-out clusters, so that laws which
    these runs cannot tell apart share the weight (as in Yao et al. 2018, section 3.4). Laws without
    a prediction for some hold-out get none. Raises `M3Error` if no law has one for all of them.
    """
    by_law: dict[str, dict[str, HeldOut]] = {}
    for result in held_out:
        by_law.setdefault(result.law.name, {})[result.holdout] = result
    holdouts = [
        h for h in dict.fromkeys(o.holdout for o in held_out) if _usable(held_out, h, language)
    ]
    names = [
        name
        for name, by_holdout in by_law.items()
        if all(h in by_holdout and language in by_holdout[h].fitted for h in holdouts)
    ]
    if not holdouts or not names:
        raise M3Error(f"language {language!r}: no law predicts the runs of all hold-outs")
    errors, shares, clusters = [], [], []
    for holdout in holdouts:
        held = by_law[names[0]][holdout].held
        rows = np.flatnonzero((runs.language == language) & held & (runs.weight > 0))
        if not len(rows):
            continue
        logs = np.log([by_law[name][holdout].predicted[rows] for name in names])
        errors.append(logs - np.log(runs.loss[rows]))
        shares.append(np.full(len(rows), 1 / len(rows)))
        clusters.append(runs.run_id[rows].astype(str))
    error, share = np.concatenate(errors, axis=1), np.concatenate(shares)
    _, code = np.unique(np.concatenate(clusters), return_inverse=True)
    rng = np.random.default_rng([seed, 8])
    weight = rng.exponential(size=(_DRAWS, code.max() + 1))[:, code] * share
    gram = np.einsum("ln,bn,mn->blm", error, weight, error)
    # A trace of a ridge: laws that predict the same share their weight.
    least = np.einsum("bll->bl", gram).min(axis=1)
    gram += _RIDGE * least[:, None, None] * np.eye(len(names))
    return dict(zip(names, on_simplex(gram).mean(axis=0).tolist(), strict=True))


def _usable(held_out: Sequence[HeldOut], holdout: str, language: str) -> bool:
    return any(result.holdout == holdout and language in result.fitted for result in held_out)


def on_simplex(gram: np.ndarray) -> np.ndarray:
    """The minimisers (B, m) of w·gram·w over weights w that are >= 0 and sum to one.

    Frank–Wolfe with away steps and exact line search: a few hundred steps of a small problem.
    """
    count, m, _ = gram.shape
    each = np.arange(count)
    best = np.argmin(np.einsum("bll->bl", gram), axis=1)
    w = np.zeros((count, m))
    w[each, best] = 1.0
    for _ in range(_STEPS):
        slope = np.einsum("blm,bm->bl", gram, w)
        toward = np.argmin(slope, axis=1)
        away = np.argmax(np.where(w > 0, slope, -np.inf), axis=1)
        # From the worst law that has weight to the best: what a pair can exchange.
        move = np.zeros_like(w)
        move[each, toward] += 1.0
        move[each, away] -= 1.0
        gain = -np.einsum("bl,bl->b", slope, move)
        bend = np.einsum("bl,blm,bm->b", move, gram, move)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(bend > 0, gain / bend, np.inf)
        step = np.clip(np.where(gain > 0, step, 0.0), 0.0, w[each, away])
        w = np.maximum(w + step[:, None] * move, 0.0)
        if not np.any(gain > 1e-10 * np.einsum("bl,bl->b", slope, w)):
            break
    return w / w.sum(axis=1, keepdims=True)
