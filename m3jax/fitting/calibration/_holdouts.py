"""Hold-outs inside the runs of each language, and the fits without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from ..._batching import take_rows
from ..._progress import silent
from ...recipe import Recipe
from ...runs import far_end
from .._beyond import beyond, edges_of
from ..engine import RIVALS, FitData, log_losses, refine
from ..pooling import Priors
from ..problem import SPARE_RUNS, FitProblem, ParameterSpace, Scope
from ..uncertainty import FittedProblem, bootstrap_draws

# Ends that are held out. Two-stage runs are not: without them nothing is known of two stages, and
# no recipe with two is recommended.
_AXES = ("compute", "epochs", "n_params", "target_tokens", "target_ratio")
_FRACTION = 0.2
_DRAWS = 40  # of each fit, for the standard deviation of what it predicts
_CANDIDATES, _RANKED = 32, 2  # random points that fits may start from, beside the whole fit's


class HeldOutRuns(NamedTuple):
    """What fits without some runs of a language say of these.

    Attributes:
        recipe: of the runs, leaves (m,).
        holdout: the axis whose far end a run was held out with, its place in `_AXES`, (m,).
        error: predicted minus measured log loss, (m,).
        spread: standard deviation of the prediction over draws, (m,).
        beyond: how far beyond the fitted runs, (m, 5), see `beyond`.
    """

    recipe: Recipe
    holdout: np.ndarray
    error: np.ndarray
    spread: np.ndarray
    beyond: np.ndarray


def held_out_runs(
    fitted: FittedProblem,
    prior_factor: np.ndarray,
    priors: Priors | None,
    fewest: int | None = None,
) -> list[HeldOutRuns]:
    """The hold-outs of every language; arguments are those of `bootstrap_draws` and `hold_outs`."""
    problem = fitted.problem
    language, axis, held = hold_outs(problem, fewest)
    parts: list[list[HeldOutRuns]] = [[] for _ in problem.languages]
    if not len(language):
        return [joined_runs(part) for part in parts]
    without, theta = _fits_without(fitted, language, held, prior_factor, priors)
    law = fitted.descents.law
    edges = edges_of(without.recipe, without.mask)
    for h, i in enumerate(language.tolist()):
        runs = np.flatnonzero(held[h])
        recipe: Recipe = take_rows(problem.recipe, (i, runs))
        predicted = log_losses(law, theta[h], recipe)
        parts[i].append(
            HeldOutRuns(
                recipe=recipe,
                holdout=np.full(len(runs), axis[h]),
                error=predicted[0] - problem.log_loss[i, runs],
                spread=predicted[1:].std(axis=0),
                beyond=beyond(recipe, edges[h]),
            )
        )
    return [joined_runs(part) for part in parts]


def joined_runs(parts: Sequence[HeldOutRuns]) -> HeldOutRuns:
    """Held-out runs of several hold-outs or languages as one."""
    if not parts:
        nothing = np.zeros(0)
        recipe = Recipe(*[nothing] * 6)
        return HeldOutRuns(recipe, nothing.astype(np.int64), nothing, nothing, np.zeros((0, 5)))
    joined: HeldOutRuns = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return joined


def hold_outs(
    problem: FitProblem, fewest: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hold-outs: of which language (H,), along which axis (H,), and which runs, (H, n) bool.

    One that leaves too few clusters of runs is left out: fewer than `fewest`, by default than a
    language needs that has no others to borrow from; or nothing to tell a variable's effect by.
    """
    languages, axes, masks = [], [], []
    used = problem.weight > 0
    for i in range(len(problem.languages)):
        runs, seen = np.flatnonzero(used[i]), set()
        recipe = take_rows(problem.recipe, (i, runs))
        cluster = problem.cluster[i, runs]
        needed = int(problem.free[i].sum()) + SPARE_RUNS if fewest is None else fewest
        for number, axis in enumerate(_AXES):
            far = np.isin(cluster, cluster[far_end(recipe, axis, _FRACTION)])
            if not far.any() or len(np.unique(cluster[~far])) < needed or far.tobytes() in seen:
                continue
            seen.add(far.tobytes())
            mask = np.zeros(used.shape[1], dtype=bool)
            mask[runs[far]] = True
            languages.append(i)
            axes.append(number)
            masks.append(mask)
    language, axis_of = np.array(languages, dtype=np.int64), np.array(axes, dtype=np.int64)
    held = np.array(masks, dtype=bool).reshape(len(languages), used.shape[1])
    if fewest is not None:
        return language, axis_of, held
    # Where what is left no longer varies, the fit without is one that asks another question.
    left = Scope.of_each(_filled(problem, language, held)[0], used[language] & ~held)
    alike = [
        scope.varies == problem.scopes[i].varies for scope, i in zip(left, languages, strict=True)
    ]
    return language[alike], axis_of[alike], held[alike]


def _filled(
    problem: FitProblem, language: np.ndarray, held: np.ndarray
) -> tuple[Recipe, np.ndarray]:
    """Recipes with a fitted run's in place of those held out, and where each comes from, (H, n)."""
    used = (problem.weight[language] > 0) & ~held
    first = np.argmax(used, axis=1) if len(used) else np.zeros(0, dtype=np.int64)
    source = np.where(used, np.arange(used.shape[1]), first[:, None])
    recipe: Recipe = take_rows(problem.recipe, (language[:, None], source))
    return recipe, source


def _fits_without(
    fitted: FittedProblem,
    language: np.ndarray,
    held: np.ndarray,
    prior_factor: np.ndarray,
    priors: Priors | None,
) -> tuple[FitProblem, np.ndarray]:
    """The problems without the held-out runs, and their best fits and draws, (H, 1 + draws, p)."""
    whole = fitted.problem
    recipe, source = _filled(whole, language, held)
    weight = np.where(held, 0.0, whole.weight[language])
    problem = dataclasses.replace(
        whole.take(language),
        # A name says which random numbers a language has, whoever is beside it.
        languages=tuple(
            f"{whole.languages[i]} without {np.sum(language[:h] == i)}"
            for h, i in enumerate(language)
        ),
        recipe=recipe,
        log_loss=whole.log_loss[language[:, None], source],
        weight=weight,
        cluster=_renumbered(whole.cluster[language], weight > 0),
        mask=weight > 0,
    )
    space = ParameterSpace(*(leaf[language] for leaf in vars(fitted.space).values()))
    data: FitData = dataclasses.replace(
        take_rows(fitted.data, language),
        recipe=recipe,
        log_loss=problem.log_loss,
        weight=weight,
    )
    best_fits = refine(fitted.descents, _starts(fitted, space, data, language), data)
    best_fits = best_fits._replace(rivals=np.repeat(best_fits.x[:, None], RIVALS, axis=1))
    fits = dataclasses.replace(
        fitted,
        problem=problem,
        space=space,
        best_fits=best_fits,
        data=data,
        settings={**fitted.settings, "draws": _DRAWS},
    )
    draws = bootstrap_draws(fits, prior_factor[language], silent, priors)
    theta = np.einsum("lij,lj->li", space.centre, best_fits.x)
    theta = np.where(problem.free, theta, fitted.problem.held[language])
    draws = np.where(problem.free[:, None], draws, problem.held[:, None])
    return problem, np.concatenate([theta[:, None], draws], axis=1)


def _starts(
    fitted: FittedProblem, space: ParameterSpace, data: FitData, language: np.ndarray
) -> np.ndarray:
    """Where fits without some runs start: the valleys of the whole fit, and elsewhere."""
    valleys = fitted.best_fits.rivals[language]
    rng = np.random.default_rng([fitted.settings["seed"], 5])
    candidates = np.where(data.free[:, None], space.draw(_CANDIDATES, rng), valleys[:, :1])
    elsewhere = fitted.descents.rank(candidates, data, _RANKED)
    mean = np.where(data.free, np.clip(data.prior_mean, space.lower, space.upper), valleys[:, 0])
    return np.concatenate([valleys, mean[:, None], elsewhere], axis=1)


def _renumbered(cluster: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Clusters (L, n) numbered 0, 1, ... among the runs that are used."""
    out = np.zeros_like(cluster)
    for i, row in enumerate(used):
        out[i, row] = np.unique(cluster[i, row], return_inverse=True)[1]
    return out
