"""What a diagnosis comes to: sentences to act on, the most important first, and a grade."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...laws import RUN_VARIABLES, Law, LogSpaceLaw
from ...recipe import REGIMES, Recipe
from ..problem import Scope
from ._residuals import RunDiagnosis, amount, correlation, percent

if TYPE_CHECKING:
    from ._diagnostics import CoefficientDiagnosis, Diagnosis

GRADES = ("good", "usable", "weak", "unusable")

ENOUGH = 3  # independent runs to a free coefficient
TOGETHER = 0.95  # correlation beyond which two things count as one
_DISTINCT = 0.02  # relative difference of two values that count as two
_FEW = 2  # distinct values that leave no room for a bend
_SPAN = 10.0  # least range of compute to extrapolate from
_NARROW = 2.0
_ALONE = 0.95  # leverage of a run that stands alone
_SWAYS = 1.0  # standard errors that one run may move a coefficient by
_FAR_BELOW = 3.0  # noise over huber_delta, beyond which most runs count only by their sign
_NAMED = 3  # outliers named in sentences
_MANY = 3  # variables; of more none is worth naming

# variable -> what the runs lack, what that leaves open, what to do
_MISSING = {
    "n_params": (
        "all runs have one model size",
        "the effect of model size is",
        "add runs of at least two other sizes",
    ),
    "target_tokens": (
        "all runs have one corpus size",
        "the effect of corpus size is",
        "add runs on smaller or larger corpora",
    ),
    "epochs": (
        "all runs at one epoch or fewer",
        "repetition is",
        "add runs of several epochs (2, 8 and 32, say)",
    ),
    "total_tokens": (
        "all runs have the same total tokens",
        "the effect of training longer is",
        "add shorter and longer runs",
    ),
    "target_ratio": (
        "all runs have one target ratio",
        "the effect of the target ratio is",
        "add runs at other ratios",
    ),
    "final_ratio": ("no two-stage runs", "the final ratio is", "add runs with r_f > r"),
    "first_ratio": (
        "all two-stage runs have one share of the ratio before the final stage",
        "the first ratio is",
        "add two-stage runs with other shares (0, 0.3 and 0.6 of the ratio, say)",
    ),
}
_NOUNS = {
    "n_params": "model sizes",
    "target_tokens": "corpus sizes",
    "epochs": "numbers of epochs",
    "total_tokens": "numbers of training tokens",
    "target_ratio": "target ratios",
    "final_ratio": "final ratios",
    "first_ratio": "first ratios",
}
_SYMBOLS = {
    "n_params": "N",
    "target_tokens": "D_T",
    "epochs": "epochs",
    "total_tokens": "total tokens",
    "target_ratio": "target ratio",
    "final_ratio": "final ratio",
}

Verdict = tuple[int, str]  # rank and sentence; the smaller the rank, the more it matters
_WEAK, _USABLE = 15, 35  # verdicts up to this rank make a table no better than that


def listed(words: Sequence[str]) -> str:
    """Words as in a sentence: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


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
    found: list[Verdict] = []
    told: set[str] = set(fixed)
    for variable in RUN_VARIABLES:
        names = [c.name for c in law.coefficients if variable in c.needs and c.name not in told]
        if variable in scope.varies or not names:
            continue
        told.update(names)
        lack, effect, action = _MISSING[variable]
        core = variable in ("n_params", "total_tokens")
        found.append(
            (10 if core else 30, f"{lack}: {effect} not determined ({', '.join(names)}); {action}")
        )
    values = {
        v: np.asarray(getattr(recipe, v), dtype=np.float64)
        for v in RUN_VARIABLES
        if v in scope.varies and v != "first_ratio"  # which may be 0, and with r and r_f is s
    }
    for variable, value in values.items():
        resting = _resting(law, variable, told)
        if resting and variable != "final_ratio":
            found += _few_values(variable, value, resting)
    two = int(np.sum(np.asarray(recipe.is_two_stage)))
    if 0 < two < 5 and (resting := _resting(law, "final_ratio", told)):
        text = f"only {two} two-stage run{'s' * (two > 1)}: {_rest(resting)} on that; add more"
        found.append((22, text))
    found += _moving_together(law, values, told, doubtful)
    compute = np.asarray(recipe.compute, dtype=np.float64)
    span = float(compute.max() / compute.min())
    if span < _SPAN:
        text = (
            f"all runs lie within {span:.1f}× in compute: do not extrapolate far from them;"
            f" spread runs over {_SPAN:.0f}× or more"
        )
        found.append((15 if span < _NARROW else 34, text))
    return found


def _few_values(variable: str, value: np.ndarray, resting: Sequence[str]) -> list[Verdict]:
    if variable == "epochs":
        value = np.maximum(value, 1.0)  # up to one epoch there is no repetition
    ordered = np.sort(np.log(value))
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > _DISTINCT) + 1)
    middles = [amount(variable, float(np.exp(np.median(group)))) for group in groups]
    if len(groups) <= _FEW:
        text = (
            f"only {len(groups)} {_NOUNS[variable]} ({listed(middles)}): {_rest(resting)} on them;"
            " add others, further out"
        )
        return [(20, text)]
    span = math.exp(ordered[-1] - ordered[0])
    if span < _NARROW:
        text = (
            f"{_NOUNS[variable]} span only {span:.1f}× ({middles[0]} to {middles[-1]}):"
            f" {_rest(resting)} on that; spread them wider"
        )
        return [(25, text)]
    return []


def _rest(names: Sequence[str]) -> str:
    return f"{listed(names)} rest{'s' * (len(names) == 1)}"


def _moving_together(
    law: Law,
    values: Mapping[str, np.ndarray],
    told: Collection[str],
    doubtful: Collection[str] | None,
) -> list[Verdict]:
    """Pairs of variables that go up and down together in the runs."""
    found: list[Verdict] = []
    said: list[set[str]] = []
    for a, b in itertools.combinations(values, 2):
        together = correlation(np.log(values[a]), np.log(values[b]))
        left, right = (
            _resting(law, v, told) or _resting(law, "total_tokens", told) * (v == "target_tokens")
            for v in (a, b)
        )
        pair = next(((x, y) for x in left for y in right if x != y), None)
        if abs(together) <= TOGETHER or pair is None or set(pair) in said:
            continue
        said.append(set(pair))
        x, y = pair
        hard = doubtful is None or x in doubtful or y in doubtful
        text = (
            f"{_SYMBOLS[a]} and {_SYMBOLS[b]} move together in these runs (correlation"
            f" {together:.2f}): {x} and {y} {'cannot' if hard else 'can hardly'} be told apart;"
            " vary one at a time"
        )
        found.append(((14 if a == "n_params" else 18) if hard else 35, text))
    return found


def _resting(law: Law, variable: str, told: Collection[str]) -> list[str]:
    """Exponents and shapes that a variable's values decide, those of its own power first.

    Those `told` of already are left out.
    """
    terms = law.terms if isinstance(law, LogSpaceLaw) else {}
    own = {n for powers in terms.values() for n, (_, v) in powers.items() if v == variable}
    needing = {c.name for c in law.coefficients if variable in c.needs and c.name not in terms}
    names = [n for n in law.names if n in own | needing and n not in told]
    return sorted(names, key=lambda name: name not in own)


_LOST = "these runs do not tell it from the others"


def why_held(law: Law, name: str, scope: Scope) -> str:
    """In words, why the fit held a coefficient."""
    needs = law.coefficients[law.names.index(name)].needs
    lacking = [_MISSING[v][0] for v in RUN_VARIABLES if v in needs and v not in scope.varies]
    return lacking[0] if lacking else _LOST


def coefficient_verdicts(
    law: Law, scope: Scope, coefficients: Sequence[CoefficientDiagnosis]
) -> list[Verdict]:
    """What the runs say too little about."""
    found: list[Verdict] = []
    free = [c for c in coefficients if c.standard_error is not None]
    held = [c for c in coefficients if c.standard_error is None and c.determined == "not"]
    needs = {c.name: c.needs for c in law.coefficients}
    for label, rank, words in (
        ("not", 16, "the runs do not decide"),
        ("prior only", 17, "the prior and not the runs decides"),
        ("weakly", 40, "the runs decide only roughly"),
    ):
        names = [c.name for c in free if c.determined == label]
        if names:
            wanted = [_NOUNS[v] for v in RUN_VARIABLES if any(v in needs[name] for name in names)]
            if not wanted:
                action = "add larger and longer runs"
            elif len(wanted) > _MANY:
                action = "add runs, further apart in every way"
            else:
                action = f"add runs at other {listed(wanted)}"
            found.append((rank, f"{words} {listed(names)}: {action}"))
    lost = [c.name for c in held if why_held(law, c.name, scope) == _LOST]
    if lost:
        why = _LOST if len(lost) == 1 else _LOST.replace(" it ", " them ")
        text = f"{listed(lost)} held: {why}; add runs that differ more"
        found.append((18, text))
    for names, together in _confounded(free):
        text = (
            f"{listed(names)} cannot be told apart by these runs (correlation {together:.2f}):"
            " trust what they say together, not each alone"
        )
        found.append((19, text))
    meaning = {c.name: c.meaning for c in law.coefficients}
    for c in free:
        if c.bound:
            words = f" ({meaning[c.name]})" if meaning[c.name] else ""
            found.append((28, f"{c.name}{words} {c.bound}"))
    return found


def _confounded(free: Sequence[CoefficientDiagnosis]) -> list[tuple[list[str], float]]:
    """Groups of coefficients that go together, not all of them well determined, and how closely."""
    groups: list[tuple[set[str], float]] = []
    for c in free:
        mine, closest = {c.name}, 0.0
        for other, together in c.confounded_with:
            mine.add(other)
            closest = max(closest, together, key=abs)
        for group, most in [g for g in groups if g[0] & mine]:
            groups.remove((group, most))
            mine |= group
            closest = max(closest, most, key=abs)
        groups.append((mine, closest))
    loose = {c.name for c in free if c.determined != "well"}
    order = [c.name for c in free]
    return [(sorted(g, key=order.index), r) for g, r in groups if len(g) > 1 and g & loose]


def run_verdicts(
    outliers: Sequence[RunDiagnosis],
    runs: Sequence[RunDiagnosis],
    recipe: Recipe,
    *,
    enough: bool,
) -> list[Verdict]:
    """Runs to look at again.

    Args:
        outliers: of the runs.
        runs: all of them.
        recipe: of the runs.
        enough: whether there are `ENOUGH` of them to a coefficient.
    """
    found: list[Verdict] = []
    names = [run.message for run in outliers[:_NAMED]]
    if len(outliers) > _NAMED:
        text = f"{len(outliers)} outliers, the furthest: {'; '.join(names)}"
        common = _in_common(outliers, runs, recipe)
        rank = 24 if len(outliers) > 0.05 * len(runs) else 36
        found.append((rank, f"{text}{common}; check them, or leave them out"))
    else:
        found += [(36, f"{text}: check it, or leave it out") for text in names]
    # With few runs to a coefficient most of them stand alone, and another sentence says so.
    alone = [run for run in runs if run.leverage > _ALONE and enough]
    for run in sorted(alone, key=lambda run: -run.leverage)[:_NAMED]:
        text = (
            f"{run.name} stands alone (leverage {run.leverage:.2f}): the law follows whatever it"
            " says; repeat it, or add runs near it"
        )
        found.append((36, text))
    swaying = [run for run in runs if run.influence > _SWAYS and run not in alone]
    for run in sorted(swaying, key=lambda run: -run.influence)[:_NAMED]:
        text = (
            f"without {run.name}, {run.moves} would move by about {run.influence:.1f} of its"
            " standard errors: repeat that run"
        )
        found.append((38, text))
    return found


def _in_common(
    outliers: Sequence[RunDiagnosis], runs: Sequence[RunDiagnosis], recipe: Recipe
) -> str:
    """In words, what outliers share more than chance would have it."""
    rows = {run.row for run in outliers}
    mine = np.array([run.row in rows for run in runs])
    regime, two = np.asarray(recipe.regime), np.asarray(recipe.is_two_stage)
    kinds = {f"are {name}": regime == k for k, name in enumerate(REGIMES)}
    kinds["begin without target text"] = two & (np.asarray(recipe.first_ratio) == 0)
    total, n, best = len(runs), len(outliers), (0.01, "")
    for words, kind in kinds.items():
        have, all_of = int(np.sum(mine & kind)), int(np.sum(kind))
        ways = sum(
            math.comb(all_of, i) * math.comb(total - all_of, n - i) for i in range(have, n + 1)
        )
        text = f" ({have} of the {n} {words}; of all runs {all_of / total:.0%})"
        best = min(best, (ways / math.comb(total, n), text))
    return best[1]


def fit_verdicts(law: Law, d: Diagnosis, huber_delta: float) -> list[Verdict]:
    """How the fit went, and how far the runs scatter around it."""
    found: list[Verdict] = []
    assert d.noise is not None  # fitted
    assert d.r2 is not None
    free = sum(c.standard_error is not None for c in d.coefficients)
    if not d.converged:
        found.append((5, "the fit stopped before it converged: fit again with more starts"))
    if d.agreement < 0.5:
        share = f"only {d.agreement:.0%} of the last starts found this optimum"
        found.append((23, f"{share}: fit again with more starts"))
    if d.r2 < 0.8:
        share = f"the law explains only {max(d.r2, 0):.0%} of the variance of the loss"
        found.append((12, f"{share}: compare laws on held-out runs"))
    if free and d.n_independent / free < ENOUGH:
        text = (
            f"{d.n_independent} runs for {free} free coefficients: add runs, hold coefficients or"
            " take a smaller law"
        )
        found.append((13, text))
    for t in d.trends:
        if not t.flagged:
            continue
        known = "first_ratio" if t.variable == "stage_fraction" else t.variable
        if known in law.variables:
            rank, text = 21, "the law misses something there; compare laws on held-out runs"
        else:
            rank = 11 if t.variable in RUN_VARIABLES else 21
            text = f"law {law.name} knows nothing of that; take one that does"
        found.append((rank, f"{t.message}: {text}"))
    if d.noise > 0.02:
        text = (
            f"the runs scatter by {percent(d.noise)} around the fit: smaller differences between"
            " recipes are noise; repeat runs with other seeds"
        )
        found.append((19, text))
    else:
        found.append((90, f"the runs scatter by {percent(d.noise)} (robust sd) around the fit"))
    if d.noise > _FAR_BELOW * huber_delta:
        text = (
            f"huber_delta {huber_delta:g} is far below the noise: fit again with"
            f" {float(f'{d.noise:.1g}'):g} for steadier coefficients"
        )
        found.append((37, text))
    return found


def grade(d: Diagnosis, ranks: Collection[int]) -> str:
    """One of `GRADES`, from the numbers and the ranks of the verdicts."""
    free = [c for c in d.coefficients if c.standard_error is not None]
    well = sum(c.determined == "well" for c in free)
    undecided = sum(c.determined in ("not", "prior only") for c in free)
    r2, noise, worst = d.r2 or 0.0, d.noise or 0.0, min(ranks, default=_USABLE + 1)
    if not well or r2 < 0.3 or noise > 0.2:
        return "unusable"
    if worst <= _WEAK or noise > 0.05 or undecided > len(free) / 4:
        return "weak"
    return "usable" if worst <= _USABLE or well < len(free) else "good"
