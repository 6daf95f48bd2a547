"""`next_runs`: which further small runs would sharpen the recommendation most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from .._progress import Progress, silent
from ..fitting import Fits, predict
from ..optimization import Questions, Recommendations, best_regime, optimize
from ..recipe import Recipe
from ._belief import Belief, noise_of, normals, regret
from ._room import Bounds, Room, room_for
from ._search import CRITERIA, RunSet, random_design, search
from ._sheet import NextRuns

FEWEST = 20  # draws that tell anything of a covariance
_CHOICES = 48  # draws whose own best recipes may be chosen
_BLOCK = 64  # questions solved in one call
_SAMPLES = 128  # normal numbers that the search takes expectations over
_RANDOM = 24  # random designs to compare with
_SPARE = 0.98  # of the budget that is planned with; rounding may take the rest
_LARGER = 10.0  # times the largest run: the compute that is decided on unless said


def next_runs(
    fits: Fits,
    *,
    budget: float,
    runs: int = 8,
    language: str | None = None,
    compute: npt.ArrayLike | None = None,
    target_tokens: npt.ArrayLike | None = None,
    criterion: str = "regret",
    ladder: Sequence[float] | None = None,
    ranges: Mapping[str, Bounds] | None = None,
    reach: float = 1.0,
    max_loss: float | None = None,
    noise: float | None = None,
    draws: int = 200,
    starts: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
    **limits: Any,
) -> NextRuns:
    """The further runs of one language that tell most about the recipe to be decided on.

    The bootstrap draws of the fit are what is believed of the coefficients. A run would tell them
    apart by its loss, as far as the noise lets it; what all runs of a design tell together is
    followed to the coefficients, or on to the recipe that would be chosen then, the best recipe
    having been solved for under every draw. The design is found by exchange among random runs and
    by gradients through the law, from several starts.

    Args:
        fits: with bootstrap draws, 20 at least.
        budget: compute of all runs together, 6·N·D in FLOP.
        runs: how many.
        language: may be left out where there is only one.
        compute: budget(s) of the recipe to be decided on, FLOP; default ten times the largest run.
        target_tokens: unique target tokens there are, one number or several; default the most in
            the runs. No further run takes more than the largest of them.
        criterion: "regret" lowers the expected regret of the recipe; "coefficients" is D-optimal,
            it raises log det of the precision of the coefficients.
        ladder: the only model sizes that can be trained, for the runs and the recipe.
        ranges: of the runs' n_params, target_tokens, epochs, target_ratio and stage_fraction, as
            name -> (low, high); by default within what has been run.
        reach: how many times further than what has been run, either way.
        max_loss: highest predicted loss of a proposed run, nats per token. A law says little of
            runs that would go wrong, though they tell its coefficients apart.
        noise: standard deviation of a run's log loss; default what the fit left over.
        draws: to use, at most those in `fits`.
        starts: random designs that are improved; the best result is taken.
        seed: same seed, same runs.
        progress: called as `progress(stage, done, total)`.
        limits: on the recipe to be decided on, by name, as `optimize` takes them.

    Raises `M3Error` on options outside their range, fits without draws, a budget that so many runs
    cannot keep, and as `optimize` does.
    """
    _check(budget, runs, criterion, reach, noise, max_loss, draws, starts, seed)
    i = fits.index(language)
    name, scope = fits.languages[i], fits.scopes[i]
    count = min(draws, fits.draws.shape[1])
    if count < FEWEST:
        raise M3Error(
            f"next_runs: needs at least {FEWEST} bootstrap draws, there are {count}; fit with"
            " draws=200"
        )
    notes = []
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
    found = optimize(
        fits,
        compute=compute,
        target_tokens=target_tokens,
        languages=[name],
        draws=0,
        ladder=ladder,
        **limits,
    )
    room, told = room_for(
        name,
        fits.law,
        scope,
        most_tokens=float(found.target_tokens.max()),
        reach=reach,
        bounds=ranges or {},
        ladder=ladder,
    )
    _check_cost(name, room, budget, runs)
    held = [c for c, frozen in zip(fits.law.names, fits.frozen[i], strict=True) if frozen]
    if held:
        notes.append(
            f"not fitted, so taken as known: {', '.join(held)}; to learn them, vary in your own"
            " runs what the fit says they need"
        )
    spread = noise_of(fits, i) if noise is None else noise
    with jax.enable_x64(True):
        report("solving the draws", 0, 1)
        belief = _belief(fits, i, found, count, spread, normals(_SAMPLES, runs, seed))
        report("solving the draws", 1, 1)
        planned = _SPARE * budget
        design = search(
            belief, room, planned, runs, criterion, starts, seed, max_loss or np.inf, report
        )
        recipe = room.rounded(design.kind, design.x)
        order = np.argsort(recipe.compute, kind="stable")
        recipe = jax.tree.map(lambda leaf: leaf[order], recipe)
        if len(np.unique(np.stack(jax.tree.leaves(recipe)), axis=1).T) < runs:
            notes.append("recipes that repeat are meant to: train them with different seeds")
        rng = np.random.default_rng([seed, 4])
        others = [random_design(room, planned, runs, rng) for _ in range(_RANDOM)]
        return _collect(
            fits,
            name,
            criterion,
            recipe,
            belief,
            [_recipe(room, other) for other in others],
            found,
            budget,
            seed,
            (*notes, *told, *found.notes[0]),
        )


def _check(
    budget: float,
    runs: int,
    criterion: str,
    reach: float,
    noise: float | None,
    max_loss: float | None,
    draws: int,
    starts: int,
    seed: int,
) -> None:
    if criterion not in CRITERIA:
        raise M3Error(f"unknown criterion {criterion!r}; known: {', '.join(CRITERIA)}")
    for option, value, least in (
        ("budget", budget, 0.0),
        ("reach", reach, 1.0),
        ("noise", noise, 0.0),
        ("max_loss", max_loss, 0.0),
    ):
        if value is not None and not (np.isfinite(value) and value >= least and value > 0):
            expected = "a number >= 1" if least else "a positive finite number"
            raise M3Error(f"{option}: expected {expected}, got {value!r}")
    for option, whole, fewest in (
        ("runs", runs, 1),
        ("draws", draws, FEWEST),
        ("starts", starts, 1),
        ("seed", seed, 0),
    ):
        if not isinstance(whole, int) or whole < fewest:
            raise M3Error(f"{option}: expected a whole number >= {fewest}, got {whole!r}")


def _check_cost(name: str, room: Room, budget: float, runs: int) -> None:
    with jax.enable_x64(True):
        cheapest = room.cheapest()[2]
    if cheapest * runs > _SPARE * budget:
        raise M3Error(
            f"language {name!r}, budget {budget:.4g} FLOP: the cheapest run within the ranges takes"
            f" {cheapest:.4g}, {runs} of them {cheapest * runs:.4g}; ask for fewer runs or widen"
            " the ranges"
        )


def random_runs(
    fits: Fits,
    *,
    budget: float,
    runs: int = 8,
    language: str | None = None,
    target_tokens: float = np.inf,
    ladder: Sequence[float] | None = None,
    ranges: Mapping[str, Bounds] | None = None,
    reach: float = 1.0,
    seed: int = 0,
) -> Recipe:
    """Random runs to compare with: uniform in logarithms, then moved until they cost the budget.

    The arguments are those of `next_runs`, `target_tokens` being the most that a run takes; leaves
    are (runs,). Raises `M3Error` as it does.
    """
    _check(budget, runs, CRITERIA[0], reach, None, None, FEWEST, 1, seed)
    i = fits.index(language)
    name = fits.languages[i]
    room, _ = room_for(
        name,
        fits.law,
        fits.scopes[i],
        most_tokens=target_tokens,
        reach=reach,
        bounds=ranges or {},
        ladder=ladder,
    )
    _check_cost(name, room, budget, runs)
    with jax.enable_x64(True):
        design = random_design(room, _SPARE * budget, runs, np.random.default_rng([seed, 4]))
        return room.rounded(*design)


def _belief(
    fits: Fits, i: int, found: Recommendations, count: int, noise: float, normal: np.ndarray
) -> Belief:
    """What `count` draws say of the questions that have an answer."""
    theta = fits.draws[i, :count]
    possible = np.flatnonzero(found.feasible.ravel())
    lanes = np.repeat(possible, count)
    own, best = _solved(found.questions.take(lanes).under(np.tile(theta, (len(possible), 1))))
    own = own.reshape(len(possible), count)
    some = np.unique(np.linspace(0, count - 1, min(count, _CHOICES)).round().astype(int))

    def choices(answer: Any, by_regime: Any, drawn: Any) -> np.ndarray:
        answer = answer.reshape(-1)[possible]
        by_regime = by_regime.reshape(-1, 3)[possible]
        drawn = drawn.reshape(len(possible), count)[:, some]
        return np.concatenate([answer[:, None], by_regime, drawn], axis=1)

    offered = jax.tree.map(choices, found.recipe, found.by_regime, best)
    # A regime that is not on offer is all zeros: the answer itself once more.
    absent = offered.n_params == 0
    offered = jax.tree.map(lambda leaf: np.where(absent, leaf[:, :1], leaf), offered)
    stake = np.moveaxis(np.log(predict(fits.law, theta, offered)), 0, -1)  # (Q, M, B)
    own = np.minimum(np.where(np.isfinite(own), own, np.inf), stake.min(axis=1))
    return Belief(theta, np.float64(noise), stake, own, normal, fits.law)


def _solved(questions: Questions) -> tuple[np.ndarray, Recipe]:
    """Lowest log loss (P,) and best recipe, leaves (P,), of questions.

    In calls as small as `optimize` makes for the fit itself, whose compiled code they share.
    """
    losses, recipes = [], []
    for start in range(0, len(questions), _BLOCK):
        block = questions.take(np.arange(start, min(start + _BLOCK, len(questions))))
        solved = block.solve(thorough=False)
        losses.append(solved.log_loss.min(axis=0))
        recipes.append(block.recipes(solved, best_regime(solved.log_loss)))
    return np.concatenate(losses), jax.tree.map(lambda *leaves: np.concatenate(leaves), *recipes)


def _recipe(room: Room, design: RunSet) -> Recipe:
    return jax.tree.map(np.asarray, room.recipe(design.kind, design.x))


def _collect(
    fits: Fits,
    name: str,
    criterion: str,
    recipe: Recipe,
    belief: Belief,
    others: Sequence[Recipe],
    found: Recommendations,
    budget: float,
    seed: int,
    notes: tuple[str, ...],
) -> NextRuns:
    """Weigh the rounded runs as they stand on the sheet, beside random ones."""
    see = jax.jit(lambda these: belief.told(these))
    told = np.asarray(see(recipe))
    gain = jax.jit(belief.saved if criterion == "regret" else belief.information)
    whole = float(gain(told))
    rows = np.arange(len(told))
    without = []
    for row in rows:
        silent_row = np.where(rows[:, None] == row, 0.0, told)  # tells nothing
        without.append(float(gain(silent_row)))
    random_told = [np.asarray(see(other)) for other in others]
    now, after = regret(belief, told, seed)
    losses = predict(fits.law, belief.theta, recipe)  # (B, n)
    spread = np.sqrt(np.var(np.log(losses), axis=0, ddof=1) + float(belief.noise) ** 2)
    return NextRuns(
        language=name,
        criterion=criterion,
        recipe=recipe,
        predicted_loss=np.exp(np.log(losses).mean(axis=0)),
        predicted_spread=spread,
        worth=np.clip(1 - np.array(without) / max(whole, 1e-12), 0.0, 1.0),
        budget=float(budget),
        noise=float(belief.noise),
        regret_now=now,
        regret_after=after,
        regret_random=float(np.median([regret(belief, t, seed)[1] for t in random_told])),
        information=float(belief.information(told)),
        information_random=float(np.median([float(belief.information(t)) for t in random_told])),
        compute=found.compute,
        target_tokens=found.target_tokens[0],
        notes=notes,
    )
