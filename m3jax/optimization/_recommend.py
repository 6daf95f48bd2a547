"""`optimize`: the best recipe for every language, budget and corpus size, with intervals."""

from __future__ import annotations

import jax
import numpy as np

from .._errors import M3Error
from .._progress import Progress, silent
from ..fitting import Fits
from ..options import OptimizeOptions, takes
from ..recipe import REGIMES, Recipe
from ._over_draws import over_draws
from ._result import Position, Recommendations
from .question import DrawOptima, Questions, ask
from .solvers import RegimeOptima, best_regime


@takes(OptimizeOptions)
def optimize(
    fits: Fits,
    *,
    options: OptimizeOptions,
    progress: Progress | None = None,
) -> Recommendations:
    """The recipe with the lowest predicted loss under the limits, for all combinations at once.

    Searches model size, epochs, target ratio and final-stage ratio in log-variables, separately in
    each regime, and solves again under bootstrap draws of the coefficients for intervals.

    Args:
        fits: fitted laws.
        options: the fields of `OptimizeOptions`, each a keyword.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on options outside their range, unknown languages, bounds out of reach of the
    runs, and where no combination allows any recipe.
    """
    questions = ask(
        fits,
        options,
        compute=options.compute,
        target_tokens=options.target_tokens,
        languages=options.languages,
    )
    count = min(options.draws, fits.draws.shape[1])
    robust = options.objective != "point"
    if robust and not count:
        raise M3Error(
            f"objective {options.objective!r} needs bootstrap draws: the fits or `draws` have none"
        )
    if robust and options.certify:
        raise M3Error("certify=True proves the point objective only")
    report = progress or silent
    report("optimizing", 0, 1 + count)
    method = options.method
    solved = questions.solve(method=method, certify=options.certify, gap=options.gap)
    possible = np.isfinite(solved.log_loss).any(axis=0)
    infeasible = _infeasible(questions, solved, possible)
    optima = questions.solve_draws(count, solved, method=method, progress=report)
    if robust:
        solved = questions.solve_robust(options.objective, options.level, optima, possible)
    report("optimizing", 1 + count, 1 + count)
    return _recommendations(questions, solved, optima, possible, infeasible, options.level)


def _infeasible(
    questions: Questions, solved: RegimeOptima, possible: np.ndarray
) -> dict[Position, str]:
    """Why nothing is allowed, by position. Raises `M3Error` where nothing is allowed anywhere."""
    reasons: dict[Position, str] = {}
    for p in np.flatnonzero(~possible).tolist():
        i, j, t = (int(axis) for axis in np.unravel_index(p, questions.shape))
        reasons[i, j, t] = questions.why_not(p, solved)
    if not possible.any():
        reason = reasons[0, 0, 0]
        values = questions.values
        raise M3Error(
            f"language {questions.languages[0]!r}, compute {values.compute[0]:.4g} FLOP,"
            f" target_tokens {questions.at_hand[0]:.4g}: no recipe is allowed: {reason}"
        )
    return reasons


def _recommendations(
    questions: Questions,
    solved: RegimeOptima,
    optima: DrawOptima,
    possible: np.ndarray,
    infeasible: dict[Position, str],
    level: float,
) -> Recommendations:
    """Lay the solved regimes out on (L, C, T, 3) and take the best of each."""
    shape = questions.shape
    loss = np.exp(solved.log_loss)
    regime = np.where(possible, best_regime(solved.log_loss), 0)
    lanes = np.arange(len(questions))
    best = loss[regime, lanes]
    recipe = questions.recipes(solved, regime)
    drawn = over_draws(questions, recipe, best, optima, possible, level)
    # What is proven of the best: how far it is above the lowest bound of any regime on offer.
    with np.errstate(invalid="ignore"):
        gap = np.where(possible, solved.log_loss[regime, lanes] - solved.bound.min(axis=0), np.inf)

    def laid(values: np.ndarray) -> np.ndarray:
        return values.reshape(*shape, *values.shape[1:])

    def masked(recipe: Recipe, allowed: np.ndarray) -> Recipe:
        return jax.tree.map(lambda leaf: laid(np.where(allowed, leaf, 0.0)), recipe)

    by_regime = [
        masked(questions.recipes(solved, k), possible & np.isfinite(loss[k]))
        for k in range(len(REGIMES))
    ]
    return Recommendations(
        languages=questions.languages,
        compute=laid(questions.values.compute)[0, :, 0],
        target_tokens=laid(questions.at_hand)[:, 0, :],
        feasible=laid(possible),
        recipe=masked(recipe, possible),
        loss=laid(best),
        regime=laid(regime),
        kkt=laid(np.where(possible, solved.kkt[regime, lanes], 0.0)),
        agreement=laid(solved.agreement[regime, lanes]),
        gap=laid(np.maximum(gap, 0.0)),
        multipliers=laid(solved.multipliers[regime, :, lanes]),
        loss_low=laid(drawn.loss_low),
        loss_high=laid(drawn.loss_high),
        recipe_low=masked(drawn.recipe_low, possible),
        recipe_high=masked(drawn.recipe_high, possible),
        regime_share=laid(drawn.regime_share),
        regret=laid(drawn.regret),
        by_regime=jax.tree.map(lambda *leaves: np.stack(leaves, axis=-1), *by_regime),
        by_regime_loss=laid(loss.T),
        infeasible=infeasible,
        notes=tuple(
            (*ground, *allowed.messages)
            for ground, allowed in zip(questions.grounds, questions.allowed, strict=True)
        ),
        n_draws=optima.log_loss.shape[-1],
        level=level,
        questions=questions,
    )
