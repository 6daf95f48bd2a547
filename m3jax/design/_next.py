"""`next_runs`: which further small runs would sharpen the recommendation most."""

from __future__ import annotations

import jax
import numpy as np

from .._errors import M3Error
from .._progress import Progress, silent
from ..computing import in_double_precision
from ..fitting import Fits
from ..optimization import optimize
from ..options import FEWEST_DRAWS, Limits, NextOptions, takes
from ._belief import normals
from ._of_fits import belief_of
from ._random import SPENT, check_cost
from ._run_space import run_space
from ._search import random_design, search
from ._sheet import NextRuns
from ._value import value_of_runs

_SAMPLES = 128  # normal numbers that the search takes expectations over
_RANDOM = 24  # random designs to compare with
_LARGER = 10.0  # times the largest run: the compute that is decided on unless said


@takes(NextOptions)
def next_runs(
    fits: Fits,
    *,
    options: NextOptions,
    language: str | None = None,
    progress: Progress | None = None,
) -> NextRuns:
    """The further runs of one language that tell most about the recipe to be decided on.

    The bootstrap draws of the fit stand for what is known of the coefficients. A run would tell
    them apart by its loss, as far as the noise lets it; what all runs of a design tell together is
    followed to the coefficients, or on to the recipe that would be chosen then, the best recipe
    having been solved for under every draw. The design is found by exchange among random runs
    (Fedorov 1972) and by gradients through the law, from several starts.

    Args:
        fits: with bootstrap draws, 20 at least.
        options: the fields of `NextOptions`, each a keyword.
        language: may be left out where there is only one.
        progress: called as `progress(stage, done, total)`.

    Raises `M3Error` on options outside their range, fits without draws, a budget that so many runs
    cannot keep, and as `optimize` does.
    """
    i = fits.index(language)
    name, scope = fits.languages[i], fits.grounds[i]
    count = min(options.draws, fits.draws.shape[1])
    if count < FEWEST_DRAWS:
        raise M3Error(
            f"next_runs: needs at least {FEWEST_DRAWS} bootstrap draws, there are {count}; fit with"
            " draws=200"
        )
    compute, target_tokens, notes = options.compute, options.target_tokens, []
    if compute is None:
        compute = _LARGER * scope.ranges["compute"][1]
        notes.append(
            f"compute of the recipe to decide on: {compute:.4g}, ten times the largest run"
        )
    if target_tokens is None:
        target_tokens = scope.ranges["target_tokens"][1]
        notes.append(
            f"target_tokens of the recipe to decide on: {target_tokens:.6g}, as in the runs"
        )
    report = progress or silent
    recommendations = optimize(
        fits,
        compute=compute,
        target_tokens=target_tokens,
        languages=[name],
        draws=0,
        **{limit: getattr(options, limit) for limit in Limits.names()},
    )
    space, space_notes = run_space(
        name,
        fits.law,
        scope,
        most_tokens=float(recommendations.target_tokens.max()),
        reach=options.reach,
        bounds=options.ranges,
        ladder=options.ladder if options.run_ladder is None else options.run_ladder,
    )
    check_cost(name, space, options.budget, options.runs)
    held = [c for c, frozen in zip(fits.law.names, fits.frozen[i], strict=True) if frozen]
    if held:
        notes.append(
            f"not fitted, so taken as known: {', '.join(held)}; to learn them, vary in your own"
            " runs what the fit says they need"
        )
    noise = fits.noise[i] if options.noise is None else options.noise
    with in_double_precision():
        report("solving the draws", 0, 1)
        normal = normals(_SAMPLES, options.runs, options.seed)
        belief = belief_of(fits, i, recommendations, count, noise, normal)
        report("solving the draws", 1, 1)
        planned = SPENT * options.budget
        design = search(belief, space, planned, options, report)
        recipe = space.rounded(design.kind, design.x)
        order = np.argsort(recipe.compute, kind="stable")
        recipe = jax.tree.map(lambda leaf: leaf[order], recipe)
        if len(np.unique(np.stack(jax.tree.leaves(recipe)), axis=1).T) < options.runs:
            notes.append("recipes that repeat are meant to: train them with different seeds")
        rng = np.random.default_rng([options.seed, 4])
        designs = [random_design(space, planned, options.runs, rng) for _ in range(_RANDOM)]
        random_recipes = [space.recipe(design.kind, design.x) for design in designs]
        value = value_of_runs(belief, recipe, random_recipes, options.criterion, options.seed)
    return NextRuns(
        language=name,
        criterion=options.criterion,
        recipe=recipe,
        budget=options.budget,
        noise=float(noise),
        compute=recommendations.compute,
        target_tokens=recommendations.target_tokens[0],
        notes=(*notes, *space_notes, *recommendations.notes[0]),
        **value,
    )
