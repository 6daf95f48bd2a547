"""What hold-outs inside the runs make of a fit's draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..._batching import take_rows
from ..._progress import Progress
from .._beyond import BENDING
from .._noise import noise_factor
from ..engine import robust_sd
from ..pooling import Priors
from ..uncertainty import FittedProblem, language_seed
from ._holdouts import HeldOutRuns, held_out_runs, joined_runs
from ._scales import draw_scales, posterior_scales

_STEPS = 2000  # of the walk over the posterior of the scales
_FEWEST_LEFT = 2  # runs of a language that has others to borrow from


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
    common: np.ndarray | None = None,
) -> Calibration:
    """How wide the draws of each language have to be, by hold-outs inside its own runs.

    In turn the runs at the far end of compute, epochs, model size, corpus and ratio are left out,
    the law fitted to the others, and its errors on those left out compared with what it would have
    said of them; see `posterior_scales`. Whose runs are too few for that has the width that is
    common to its population, or else the prior's.

    Args:
        fitted: the fits.
        noise: of the runs.
        prior_factor: as `bootstrap_draws` has it.
        report: progress.
        priors: likewise.
        common: what `common_scales` said of the population.
    """
    languages, draws = len(fitted.problem.languages), fitted.settings["draws"]
    if not languages or not draws:
        return Calibration.none(languages, draws)
    report("calibrating", 0, languages)
    held_out = held_out_runs(fitted, prior_factor, priors)
    seed = fitted.settings["seed"]
    seeds = [language_seed(seed, name) for name in fitted.problem.languages]
    numbers = [np.random.default_rng([*s, 2]) for s in seeds]
    posterior = posterior_scales(held_out, _noises(held_out, noise), numbers, max(_STEPS, draws))
    if common is not None:
        few = [not len(runs.error) for runs in held_out]
        posterior[:, few] = common[:, None]
    widening, scales = draw_scales(posterior, numbers, draws)
    normal = [np.random.default_rng([*s, 3]).standard_normal(scales.shape[1:]) for s in seeds]
    report("calibrating", languages, languages)
    return Calibration(widening, scales * np.stack(normal))


def common_scales(
    fitted: FittedProblem, noise: Noise, prior_factor: np.ndarray, priors: Priors
) -> np.ndarray:
    """The posterior of the scales that languages with few runs have in common, (steps, 6).

    A language with three runs can spare one. What errors on those of all languages say together is
    said of each: runs at the far end of an axis count as one hold-out, whichever language's they
    are. The population stays as it was estimated from all runs. Arguments are those of `calibrate`.
    """
    held_out = held_out_runs(fitted, prior_factor, priors, _FEWEST_LEFT)
    noises = np.concatenate(_noises(held_out, noise))
    numbers = [np.random.default_rng([fitted.settings["seed"], 6])]
    steps = max(_STEPS, fitted.settings["draws"])
    return posterior_scales([joined_runs(held_out)], [noises], numbers, steps)[:, 0]


def _noises(held_out: Sequence[HeldOutRuns], noise: Noise) -> list[np.ndarray]:
    """The noise of held-out runs, (m,) each."""
    return [
        sd * noise_factor(runs.recipe, powers, middle)
        for runs, sd, powers, middle in zip(held_out, *noise, strict=True)
    ]
