"""How wide to make draws, and how far powers may bend, from errors on held-out runs.

A held-out run's log loss misses its prediction by e with variance

    v = σ² + c² s² + Σ_j a_j² d_j²,

σ being the noise of a run, s the standard deviation of the prediction by resampling, d_j how far
beyond the fitted runs it lies in variable j. c says how much more than resampling shows a fit may
err, a_j by how much the power of variable j may bend beyond the runs. Their prior is what public
tables and our own show of laws of this kind, on the way from 80% of the runs to the others:

    c = max(1, c₀ exp(z_c / 2)),   a_j = a₀_j exp(z_0 / 2 + z_j),   z standard normal,

but that with a chance of one in twenty the law bends nowhere, all a_j = 0 (a spike and a slab,
Mitchell and Beauchamp 1988). Bends of real tables would show where epochs and corpora are held
out. A table without any is so taken at its word along N as well, where hold-outs end too near to
tell a small bend from none.

A twentieth of the runs may have gone astray, by ten σ more (Huber's contaminated normal, 1964), or
one bad run would widen everything. Runs that are held out together err together. n of them count as
n² / 50 independent ones, no more than n: of a few one learns next to nothing, and the prior stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from .._beyond import BENDING
from ._holdouts import HeldOutRuns

_WIDER = 1.5  # c₀
_WIDER_SD, _SHARED_SD, _OWN_SD = 0.5, 0.5, 1.0  # of log c, of all log a_j together, of each
_PER_DECADE = {
    "n_params": 0.02,
    "target_tokens": 0.15,
    "epochs": 0.2,
    "target_ratio": 0.05,
    "concentration": 0.2,
}
_BENDS = np.array([_PER_DECADE[name] for name in BENDING]) / np.log(10.0)  # a₀
_STRAIGHT = NormalDist().inv_cdf(0.05)  # below it a standard normal says that nothing bends
_SCALES = len(BENDING) + 3  # standard normals: of c, all a_j, each a_j, whether there are any
_COUNT_AS = 50.0
_STRAY, _STRAYING = 0.05, 10.0  # share of runs gone astray, and how many σ by
_SETTLE, _STRIDE = 200, 0.6  # of the random walk over the posterior


def posterior_scales(
    held_out: Sequence[HeldOutRuns],
    noises: Sequence[np.ndarray],
    numbers: Sequence[np.random.Generator],
    steps: int,
) -> np.ndarray:
    """Of log c and log a_j their posterior, `steps` values of each in rising order, (steps, L, 6).

    Random-walk Metropolis, one chain a language with `numbers` of its own. `noises` are σ of the
    runs, (m,) each.
    """
    count = len(held_out)
    most = max((len(runs.error) for runs in held_out), default=0)
    squares, spread, weight = (np.zeros((count, most)) for _ in range(3))
    noise = np.ones((count, most))
    distance = np.zeros((count, most, len(BENDING)))
    for i, runs in enumerate(held_out):
        m = len(runs.error)
        squares[i, :m], spread[i, :m] = runs.error**2, runs.spread**2
        noise[i, :m] = noises[i] ** 2
        distance[i, :m] = runs.beyond**2
        size = np.bincount(runs.holdout)[runs.holdout] if m else np.zeros(0)
        weight[i, :m] = np.minimum(size / _COUNT_AS, 1.0)

    def log_density(z: np.ndarray) -> np.ndarray:
        squared = np.exp(2 * _log_scales(z))
        variance = noise + squared[:, :1] * spread
        variance += np.einsum("lmj,lj->lm", distance, squared[:, 1:])
        stray = variance + _STRAYING**2 * noise
        density = np.logaddexp(
            math.log1p(-_STRAY) - 0.5 * (np.log(variance) + squares / variance),
            math.log(_STRAY) - 0.5 * (np.log(stray) + squares / stray),
        )
        return np.sum(weight * density, axis=1) - 0.5 * np.sum(z[:, :-1] ** 2, axis=1)

    steps += _SETTLE
    moves = np.stack([rng.standard_normal((steps, _SCALES)) for rng in numbers], axis=1)
    chances = np.stack([rng.random(steps) for rng in numbers], axis=1)
    z = np.zeros((count, _SCALES))
    density = log_density(z)
    chain = np.empty((steps, count, _SCALES))
    for step in range(steps):
        proposed = z + _STRIDE * moves[step]
        proposed[:, -1] = moves[step, :, -1]  # from its prior, which `log_density` so leaves out
        there = log_density(proposed)
        accepted = np.log(chances[step]) < there - density
        z = np.where(accepted[:, None], proposed, z)
        density = np.where(accepted, there, density)
        chain[step] = z
    return np.sort(_log_scales(chain[_SETTLE:]), axis=0)


def prior_scales(count: int, rng: np.random.Generator) -> np.ndarray:
    """The same, (count, 1, 6), of what has no held-out runs at all."""
    z = rng.standard_normal((count, 1, _SCALES))
    return np.sort(_log_scales(z), axis=0)


def draw_scales(
    posterior: np.ndarray, numbers: Sequence[np.random.Generator], draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draws of c (L, draws) and of a_j (L, draws, 5) from what `posterior_scales` gave.

    Each by itself, at fixed places in its distribution: draws then move little where the errors
    do, on another engine or machine.
    """
    places = np.stack([rng.random((draws, posterior.shape[-1])) for rng in numbers], axis=1)
    rank = (places * len(posterior)).astype(int)
    drawn = np.exp(np.take_along_axis(posterior, rank, axis=0)).swapaxes(0, 1)
    return drawn[..., 0], drawn[..., 1:]


def _log_scales(z: np.ndarray) -> np.ndarray:
    """log c and log a_j, (..., 6), of z (..., 8)."""
    wider = np.maximum(0.0, np.log(_WIDER) + _WIDER_SD * z[..., :1])
    bends = np.log(_BENDS) + _SHARED_SD * z[..., 1:2] + _OWN_SD * z[..., 2:-1]
    bends = np.where(z[..., -1:] < _STRAIGHT, -np.inf, bends)
    return np.concatenate([wider, bends], axis=-1)
