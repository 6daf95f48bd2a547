"""Which runs to do: spread over model size, corpus, epochs and ratios, within a budget."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .._errors import M3Error
from ..options import PilotDesign
from ..recipe import Recipe
from ._model import Shape
from ._train import Training
from ._trial import Trial

Array = npt.NDArray[Any]

_FEWEST_STEPS = 64
_STEP_GRID = 16  # of runs whose length is given: what is trained in one call divides the steps


def space_filling(
    language: str,
    shapes: Sequence[Shape],
    training: Training,
    design: PilotDesign,
    *,
    budget: float,
    runs: int,
    target_windows: int,
    source_windows: int,
    seed: int = 0,
) -> list[Trial]:
    """At most `runs` runs that together take at most `budget` FLOP (6·N·D each).

    Points of an additive recurrence sequence (evenly spread, whatever their number) become runs
    that the two texts, of so many training windows, have enough windows for. The first runs of a
    plan are those of the plan for twice the budget and twice the runs: a table can be added to.
    Of a budget that is too small for so many runs of the smallest model there are fewer; raises
    `M3Error` where there would be none.
    """
    if runs < 1 or not 0 < budget < math.inf:
        raise M3Error(f"expected a positive budget and number of runs, got {budget} and {runs}")
    # Log-uniform over [low, span * low], compute averages low * (span - 1) / log(span). A tenth is
    # for sizes that do not fit exactly.
    span = design.compute_span
    low = 0.9 * budget / runs * math.log(span) / (span - 1)
    least = 6.0 * shapes[0].n_params * _FEWEST_STEPS * 4 * training.length
    if low < least:
        fewer = int(runs * low / least)
        if fewer < 1:
            raise M3Error(
                f"a budget of {budget:.3g} FLOP is too small for a single run: expected at least"
                f" {least * budget / (low * runs):.3g}"
            )
        runs, low = fewer, low * runs / fewer
    trials: list[Trial] = []
    spent, number = 0.0, 0
    while len(trials) < runs:
        point = _point(number, seed)
        trial = _trial(
            language, shapes, training, design, low, point, target_windows, source_windows, number
        )
        number += 1
        if trial is None:
            if number > 100 * runs:
                raise M3Error(f"{language}: the texts are too short for runs of {low:.3g} FLOP")
            continue
        again = (len(trials) + 2) % design.repeat_every == 0 and len(trials) + 1 < runs
        repeats = [dataclasses.replace(trial, seed=trial.seed + 1)] if again else []
        for planned in (trial, *repeats):
            if spent + planned.compute > budget:
                return trials
            spent += planned.compute
            trials.append(planned)
    return trials


def _point(number: int, seed: int) -> Array:
    """Of the sequence x + n·a mod 1 in 7 dimensions, the n-th point (7,).

    a_i = g^-i where g^8 = g + 1, the generalisation of the golden ratio (M. Roberts 2018, "The
    unreasonable effectiveness of quasirandom sequences").
    """
    size = 7
    ratio = 1.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (size + 1))
    begin = np.random.default_rng(seed).random(size)
    return (begin + (number + 1) * ratio ** -np.arange(1.0, size + 1)) % 1


def _trial(
    language: str,
    shapes: Sequence[Shape],
    training: Training,
    design: PilotDesign,
    low: float,
    point: Array,
    target_windows: int,
    source_windows: int,
    number: int,
) -> Trial | None:
    """The run at a point of the unit cube; None if the texts are too short for it."""
    compute = low * design.compute_span ** point[0]
    n_params = math.sqrt(compute / (6 * _between(design.tokens_per_param, point[1])))
    shape = min(shapes, key=lambda s: abs(math.log(s.n_params / n_params)))
    # Lengths are powers of two, so that there are many runs of one shape and as many steps, which
    # can be trained together.
    windows = 2 ** round(math.log2(compute / (6 * shape.n_params * training.length)))
    batch = training.batch_for(windows * training.length)
    steps = max(windows // batch, _FEWEST_STEPS)
    windows = steps * batch

    kind = point[2]
    two = kind >= 1 - design.two_stage
    first = final = ratio = 1.0
    if kind >= design.monolingual:
        first = final = ratio = _between(design.target_ratio, point[3])
    if two:
        # Without room above it for a final stage, a ratio is brought down to where there is.
        share = design.first_shares[int(point[5] * len(design.first_shares))]
        shortest, longest = design.stage_fraction
        ratio = min(ratio, longest / (1 - share * (1 - longest)))
        first = share * ratio
        reach = max(shortest, (ratio - first) / (1 - first))  # r_f <= 1
        fraction = min(reach + (longest - reach) * point[6], 1.0)
        final = min(first + (ratio - first) / fraction, 1.0)
    seen = ratio * windows
    least = max(seen / design.epochs[1], design.target_tokens[0] / training.length, 1.0)
    most = min(
        seen / design.epochs[0], design.target_tokens[1] / training.length, float(target_windows)
    )
    if least > most or windows - seen > design.max_source_epochs * source_windows:
        return None
    trial = Trial.near(
        language,
        shape,
        length=training.length,
        batch=batch,
        steps=steps,
        target_tokens=training.length * _between((least, most), point[4]),
        target_ratio=ratio,
        final_ratio=final,
        first_ratio=first,
        seed=2 * number,
    )
    return trial if trial.unique <= target_windows else None


def _between(bounds: tuple[float, float], share: float) -> float:
    """The number that share of the way from low to high, in logs."""
    return bounds[0] * (bounds[1] / bounds[0]) ** float(share)


def from_recipes(
    language: str,
    shapes: Sequence[Shape],
    training: Training,
    recipes: Recipe,
    *,
    seeds: int | Sequence[int],
) -> list[Trial]:
    """Runs nearest to given recipes (a `Recipe` with leaves (n,)).

    Each with so many seeds, from 0 on; or, of (n,) seeds, with its own. The model is the size on
    the ladder nearest in log n_params. Compute, corpus and ratios are kept; tokens and epochs
    follow. A final stage may be as short as the recipe says, unlike those of `space_filling`: one
    within the decay of the learning rate is trained on at ever lower rates.
    """
    trials = []
    for i in range(len(recipes.n_params)):
        recipe = {name: float(leaf[i]) for name, leaf in vars(recipes).items()}
        shape = min(shapes, key=lambda s: abs(math.log(s.n_params / recipe["n_params"])))
        kept = ("target_tokens", "target_ratio", "final_ratio", "first_ratio")
        total = float(recipes.compute[i]) / (6 * shape.n_params)
        batch = training.batch_for(total)
        steps = _STEP_GRID * max(round(total / (batch * training.length * _STEP_GRID)), 1)
        trial = Trial.near(
            language,
            shape,
            length=training.length,
            batch=batch,
            steps=steps,
            seed=0,
            **{name: recipe[name] for name in kept},
        )
        own = range(seeds) if isinstance(seeds, int) else (seeds[i],)
        trials += [dataclasses.replace(trial, seed=seed) for seed in own]
    return trials
