"""What the choice of runs leaves open, whatever their losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ...formatting import enumeration, write_brief
from ...laws import Law, LogSpaceLaw
from ...recipe import Recipe
from ...variables import RUN_VARIABLES, VARIABLES
from ..problem import Scope
from ._correlation import CONFOUNDED, pearson
from ._verdict import Verdict

_DISTINCT = 0.02  # relative difference of two values that count as two
_NO_BEND = 2  # distinct values that leave no room for a bend
_COMPUTE_SPAN = 10.0  # least range of compute to extrapolate from
_NARROW_SPAN = 2.0
_FEWEST_TWO_STAGE = 5  # runs that the effect of a final stage may rest on

# variable -> what is left open where no run varies it, what to do
_EFFECT_AND_ACTION = {
    "n_params": ("the effect of model size is", "add runs of at least two other sizes"),
    "target_tokens": ("the effect of corpus size is", "add runs on smaller or larger corpora"),
    "epochs": ("repetition is", "add runs of several epochs (2, 8 and 32, say)"),
    "total_tokens": ("the effect of training longer is", "add shorter and longer runs"),
    "target_ratio": ("the effect of the target ratio is", "add runs at other ratios"),
    "final_ratio": ("the final ratio is", "add runs with r_f > r"),
    "first_ratio": (
        "the first ratio is",
        "add two-stage runs with other shares (0, 0.3 and 0.6 of the ratio, say)",
    ),
}


def design_verdicts(
    law: Law,
    scope: Scope,
    recipe: Recipe,
    fixed: Collection[str],
    doubtful: Collection[str] | None = None,
) -> list[Verdict]:
    """What the choice of runs leaves open, whatever their losses.

    Args:
        law: the law.
        scope: of the runs.
        recipe: of the runs, leaves (n,).
        fixed: coefficients that the user holds.
        doubtful: those that the runs did not determine well; None if that is not known.
    """
    # A coefficient is spoken of once, and not at all where the user holds it.
    settled: set[str] = set(fixed)
    verdicts = _constant_variables(law, scope, settled)
    values = {
        v: np.asarray(getattr(recipe, v), dtype=np.float64)
        for v in RUN_VARIABLES
        if v in scope.varies and v != "first_ratio"  # which may be 0, and with r and r_f is s
    }
    for variable, value in values.items():
        resting = _resting(law, variable, settled)
        if resting and variable != "final_ratio":
            verdicts += _few_values(variable, value, resting)
    two = int(np.sum(np.asarray(recipe.is_two_stage)))
    resting = _resting(law, "final_ratio", settled)
    if 0 < two < _FEWEST_TWO_STAGE and resting:
        text = f"only {two} two-stage run{'s' * (two > 1)}: {_rest(resting)} on that; add more"
        verdicts.append(Verdict(22, text))
    verdicts += _moving_together(law, values, settled, doubtful)
    compute = np.asarray(recipe.compute, dtype=np.float64)
    span = float(compute.max() / compute.min())
    if span < _COMPUTE_SPAN:
        text = (
            f"all runs lie within {span:.1f}× in compute: do not extrapolate far from them;"
            f" spread runs over {_COMPUTE_SPAN:.0f}× or more"
        )
        verdicts.append(Verdict(15 if span < _NARROW_SPAN else 34, text))
    return verdicts


def _constant_variables(law: Law, scope: Scope, settled: set[str]) -> list[Verdict]:
    """Variables that no run varies; the coefficients they leave open are added to `settled`."""
    verdicts = []
    for variable in RUN_VARIABLES:
        names = [c.name for c in law.coefficients if variable in c.needs and c.name not in settled]
        if variable in scope.varies or not names:
            continue
        settled.update(names)
        effect, action = _EFFECT_AND_ACTION[variable]
        rank = 10 if variable in ("n_params", "total_tokens") else 30
        text = f"{scope.constant(variable)}: {effect} not determined ({', '.join(names)})"
        verdicts.append(Verdict(rank, f"{text}; {action}"))
    return verdicts


def _few_values(variable: str, value: np.ndarray, resting: Sequence[str]) -> list[Verdict]:
    """Variables with few distinct values, or values close together."""
    if variable == "epochs":
        value = np.maximum(value, 1.0)  # up to one epoch there is no repetition
    ordered = np.sort(np.log(value))
    cuts = np.flatnonzero(np.diff(ordered) > _DISTINCT) + 1
    span = math.exp(ordered[-1] - ordered[0])
    if len(cuts) >= _NO_BEND and span >= _NARROW_SPAN:
        return []
    middles = [
        write_brief(variable, float(np.exp(np.median(group)))) for group in np.split(ordered, cuts)
    ]
    plural = VARIABLES[variable].plural
    if len(middles) <= _NO_BEND:
        text = (
            f"only {len(middles)} {plural} ({enumeration(middles)}): {_rest(resting)} on them;"
            " add others, further out"
        )
        return [Verdict(20, text)]
    text = (
        f"{plural} span only {span:.1f}× ({middles[0]} to {middles[-1]}):"
        f" {_rest(resting)} on that; spread them wider"
    )
    return [Verdict(25, text)]


def _rest(names: Sequence[str]) -> str:
    return f"{enumeration(names)} rest{'s' * (len(names) == 1)}"


def _moving_together(
    law: Law,
    values: Mapping[str, np.ndarray],
    settled: Collection[str],
    doubtful: Collection[str] | None,
) -> list[Verdict]:
    """Pairs of variables that go up and down together in the runs."""
    verdicts: list[Verdict] = []
    named: list[set[str]] = []  # pairs of coefficients spoken of
    logs = {variable: np.log(value) for variable, value in values.items()}
    resting = {
        v: _resting(law, v, settled)
        or _resting(law, "total_tokens", settled) * (v == "target_tokens")
        for v in values
    }
    for a, b in itertools.combinations(values, 2):
        correlation = pearson(logs[a], logs[b])
        pair = next(((x, y) for x in resting[a] for y in resting[b] if x != y), None)
        if abs(correlation) <= CONFOUNDED or pair is None or set(pair) in named:
            continue
        named.append(set(pair))
        x, y = pair
        confounded = doubtful is None or x in doubtful or y in doubtful
        text = (
            f"{VARIABLES[a].short} and {VARIABLES[b].short} move together in these runs"
            f" (correlation {correlation:.2f}): {x} and {y}"
            f" {'cannot' if confounded else 'can hardly'} be told apart; vary one at a time"
        )
        rank = (14 if a == "n_params" else 18) if confounded else 35
        verdicts.append(Verdict(rank, text))
    return verdicts


def _resting(law: Law, variable: str, settled: Collection[str]) -> list[str]:
    """Exponents and shapes that a variable's values decide, those of its own power first.

    Those that are `settled` are left out.
    """
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    own = {n for powers in terms.values() for n, (_, v) in powers.items() if v == variable}
    needing = {c.name for c in law.coefficients if variable in c.needs and c.name not in terms}
    names = [n for n in law.names if n in own | needing and n not in settled]
    return sorted(names, key=lambda name: name not in own)
