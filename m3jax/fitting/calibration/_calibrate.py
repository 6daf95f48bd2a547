"""What hold-outs inside the runs make of a fit's draws."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..._progress import Progress
from .._beyond import BENDING
from ..pooling import Priors
from ..uncertainty import FittedProblem, language_seed
from ._holdouts import held_out_runs
from ._scales import posterior_scales


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
    noise: np.ndarray,
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
        noise: robust standard deviation of a run's log loss, (L,).
        prior_factor: as `bootstrap_draws` has it.
        report: progress.
        priors: likewise.
    """
    languages, draws = len(fitted.problem.languages), fitted.settings["draws"]
    if not languages or not draws:
        return Calibration.none(languages, draws)
    report("calibrating", 0, languages)
    held_out = held_out_runs(fitted, prior_factor, priors)
    seed = fitted.settings["seed"]
    seeds = np.array([language_seed(seed, name) for name in fitted.problem.languages])
    widening, scales = posterior_scales(held_out, noise, seeds, draws)
    normal = [np.random.default_rng([*s, 3]).standard_normal(scales.shape[1:]) for s in seeds]
    report("calibrating", languages, languages)
    return Calibration(widening, scales * np.stack(normal))
