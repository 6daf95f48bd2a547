"""What hold-outs inside the runs make of a fit's draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..._batching import take_rows
from ..._progress import Progress
from .._beyond import BENDING
from .._noise import noise_factor
from ..engine import robust_sd
from ..pooling import Priors
from ..uncertainty import FittedProblem, language_seed
from ._holdouts import held_out_runs
from ._scales import posterior_scales


class Noise(NamedTuple):
    """The noise of the runs of L languages, see `noise_factor`.

    Attributes:
        sd: robust standard deviation of a log loss in the middle of the runs, (L,).
        powers: of epochs and target ratio, (L, 2).
        middle: logarithms of the middle of the runs, (L, 2).
    """

    sd: np.ndarray
    powers: np.ndarray
    middle: np.ndarray

    @classmethod
    def of(cls, fitted: FittedProblem, powers: np.ndarray, middle: np.ndarray) -> Noise:
        """The noise that goes with these powers around the best fits."""
        problem, sd = fitted.problem, []
        for i, used in enumerate(problem.weight > 0):
            recipe = take_rows(problem.recipe, (i, used))
            even = fitted.best_fits.residual[i, used] / noise_factor(recipe, powers[i], middle[i])
            sd.append(robust_sd(even, int(problem.free[i].sum())))
        return cls(np.array(sd), powers, middle)


def even_noise(languages: int) -> tuple[np.ndarray, np.ndarray]:
    """Powers and middle of noise that is the same everywhere, (L, 2) each."""
    return np.zeros((languages, 2)), np.zeros((languages, 2))


class Calibration(NamedTuple):
    """What the draws of L languages are made with.

    Attributes:
        widening: how many times wider than by resampling alone each draw lies, (L, draws).
        bends: exponents by which its loss bends beyond the runs, (L, draws, 5), see `Spread`.
    """

    widening: np.ndarray
    bends: np.ndarray

    @classmethod
    def none(cls, languages: int, draws: int) -> Calibration:
        """That of draws which resampling alone decides."""
        return cls(np.ones((languages, draws)), np.zeros((languages, draws, len(BENDING))))


def calibrate(
    fitted: FittedProblem,
    noise: Noise,
    prior_factor: np.ndarray,
    report: Progress,
    priors: Priors | None = None,
) -> Calibration:
    """How wide the draws of each language have to be, by hold-outs inside its own runs.

    In turn the runs at the far end of compute, epochs, model size, corpus and ratio are left out,
    the law fitted to the others, and its errors on those left out compared with what it would have
    said of them; see `posterior_scales`. Whose runs are too few for that has the prior's width.

    Args:
        fitted: the fits.
        noise: of the runs.
        prior_factor: as `bootstrap_draws` has it.
        report: progress.
        priors: likewise.
    """
    languages, draws = len(fitted.problem.languages), fitted.settings["draws"]
    if not languages or not draws:
        return Calibration.none(languages, draws)
    report("calibrating", 0, languages)
    held_out = held_out_runs(fitted, prior_factor, priors)
    noises = [
        sd * noise_factor(runs.recipe, powers, middle)
        for runs, sd, powers, middle in zip(held_out, *noise, strict=True)
    ]
    seed = fitted.settings["seed"]
    seeds = np.array([language_seed(seed, name) for name in fitted.problem.languages])
    widening, scales = posterior_scales(held_out, noises, seeds, draws)
    normal = [np.random.default_rng([*s, 3]).standard_normal(scales.shape[1:]) for s in seeds]
    report("calibrating", languages, languages)
    return Calibration(widening, scales * np.stack(normal))
