"""Linearising fits at the runs they were made from, many languages in one batch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..._batching import take_rows
from ..._errors import M3Error
from ...runs import RunTable
from .._fits import Fits
from .._noise import noise_weights
from ..engine import huber, log_losses_and_slopes
from ..problem import ParameterSpace
from ._linearised import Linearised

_OBJECTIVE_MISMATCH = 0.01  # relative difference that tells other runs from rounding


def check_languages(fits: Fits, runs: RunTable) -> None:
    """Raise `M3Error` unless the table holds exactly the languages of the fits."""
    known = {*fits.languages, *fits.failed}
    for name in sorted(known - set(runs.languages)):
        raise M3Error(f"{runs.source}: no runs of {name!r}, which the fits hold")
    for name in sorted(set(runs.languages) - known):
        raise M3Error(f"{runs.source}: runs of {name!r}, which the fits do not hold")


def linearise(fits: Fits, runs: RunTable, languages: Iterable[str]) -> list[Linearised]:
    """The fits of some fitted languages at their optimum, in one batch.

    Raises `M3Error` if their runs are not those that the fits were made from.
    """
    names = tuple(languages)
    if not names:
        return []
    counted = runs.weight > 0  # the others took no part in the fit
    batch = runs.select(counted).batch(languages=names)
    language_index = [fits.index(name) for name in names]
    counts = batch.mask.sum(axis=1)
    for name, i, count in zip(names, language_index, counts.tolist(), strict=True):
        if count != fits.n_runs[i]:
            how = f" (the table was read with {', '.join(runs.reading)})" if runs.reading else ""
            raise M3Error(
                f"{runs.source}, language {name!r}: found {count} runs, the fit was made from"
                f" {fits.n_runs[i]}{how}"
            )
    predicted, slopes = log_losses_and_slopes(fits.law, fits.theta[language_index], batch.recipe)
    out = []
    for i, (name, j) in enumerate(zip(names, language_index, strict=True)):
        real, free = batch.mask[i], ~fits.frozen[j]
        log_loss = np.log(batch.loss[i][real])
        own_recipe = take_rows(take_rows(batch.recipe, i), real)
        space = ParameterSpace.of(fits.law, own_recipe, float(log_loss.mean()), free)
        # As the fit counted them.
        by_noise = noise_weights(own_recipe, fits.noise_powers[j], fits.noise_middle[j])
        weight = batch.weight[i][real] * by_noise
        residual = predicted[i][real] - log_loss
        delta = float(fits.huber_delta[j])
        misfit = float(np.sum(weight * huber(residual, delta, np)))
        _check_objective(runs.source, name, misfit, float(fits.objective[j]))
        slope = slopes[i, :, real]
        if not np.all(np.isfinite(slope)):
            raise M3Error(f"language {name!r}: law {fits.law.name} has no derivative at its fit")
        jacobian = (slope @ space.centre) * free
        both = free & free[:, None]
        precision = space.centre.T @ fits.prior_precision[j] @ space.centre
        out.append(
            Linearised(
                law=fits.law,
                recipe=own_recipe,
                position=np.flatnonzero((runs.language == name) & counted),
                log_loss=log_loss,
                residual=residual,
                jacobian=jacobian,
                weight=weight,
                cluster=batch.cluster[i][real],
                theta=fits.theta[j],
                free=free,
                space=space,
                delta=delta,
                prior_mean=space.to_x(fits.prior_mean[j]),
                prior_precision=np.where(both, precision, 0.0),
                prior_weight=float(fits.prior_weight[j]),
            )
        )
    return out


def _check_objective(source: str, language: str, objective: float, expected: float) -> None:
    apart = abs(objective - expected) > _OBJECTIVE_MISMATCH * max(objective, expected) + 1e-9
    if apart or not np.isfinite(objective):
        raise M3Error(
            f"{source}, language {language!r}: as many runs as the fit was made from, but not the"
            f" same: its objective is {expected:.6g} and on these runs {objective:.6g}; give the"
            " table, names and units of the fit"
        )
