"""Runs to look at again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...recipe import REGIMES, Recipe
from ._diagnosis import RunDiagnosis
from ._verdict import Verdict

_HIGH_LEVERAGE = 0.95  # of a run that stands alone
_HIGH_INFLUENCE = 1.0  # standard errors that one run may move a coefficient by
_MANY_OUTLIERS = 0.05  # share of the runs beyond which outliers are no accidents
_NAMED_RUNS = 3  # named in sentences of one kind
_CHANCE = 0.01  # of what outliers share, above which it is left unsaid


def run_verdicts(
    outliers: Sequence[RunDiagnosis],
    runs: Sequence[RunDiagnosis],
    recipe: Recipe,
    *,
    enough: bool,
) -> list[Verdict]:
    """Outliers, runs that stand alone, and runs that sway a coefficient.

    Args:
        outliers: of the runs.
        runs: all of them.
        recipe: of the runs.
        enough: whether there are enough runs to a coefficient for leverage to be news.
    """
    verdicts: list[Verdict] = []
    messages = [run.message for run in outliers[:_NAMED_RUNS]]
    if len(outliers) > _NAMED_RUNS:
        text = f"{len(outliers)} outliers, the furthest: {'; '.join(messages)}"
        common = _in_common(outliers, runs, recipe)
        rank = 24 if len(outliers) > _MANY_OUTLIERS * len(runs) else 36
        verdicts.append(Verdict(rank, f"{text}{common}; check them, or leave them out"))
    else:
        verdicts += [Verdict(36, f"{text}: check it, or leave it out") for text in messages]
    # With few runs to a coefficient most of them stand alone, and another sentence says so.
    alone = [run for run in runs if run.leverage > _HIGH_LEVERAGE and enough]
    for run in sorted(alone, key=lambda run: -run.leverage)[:_NAMED_RUNS]:
        text = (
            f"{run.name} stands alone (leverage {run.leverage:.2f}): the law follows whatever it"
            " says; repeat it, or add runs near it"
        )
        verdicts.append(Verdict(36, text))
    swaying = [run for run in runs if run.influence > _HIGH_INFLUENCE and run not in alone]
    for run in sorted(swaying, key=lambda run: -run.influence)[:_NAMED_RUNS]:
        text = (
            f"without {run.name}, {run.moves} would move by about {run.influence:.1f} of its"
            " standard errors: repeat that run"
        )
        verdicts.append(Verdict(38, text))
    return verdicts


def _in_common(
    outliers: Sequence[RunDiagnosis], runs: Sequence[RunDiagnosis], recipe: Recipe
) -> str:
    """In words, what outliers share more than chance would have it.

    The one-sided exact test of Fisher: with K of N runs of a kind and k of n outliers among them,
    p = Σ_{i ≥ k} C(K, i) C(N − K, n − i) / C(N, n).
    """
    rows = {run.row for run in outliers}
    is_outlier = np.array([run.row in rows for run in runs])
    regime, two = np.asarray(recipe.regime), np.asarray(recipe.is_two_stage)
    kinds = {f"are {name}": regime == k for k, name in enumerate(REGIMES)}
    kinds["begin without target text"] = two & (np.asarray(recipe.first_ratio) == 0)
    total, n, best = len(runs), len(outliers), (_CHANCE, "")
    for words, kind in kinds.items():
        have, all_of = int(np.sum(is_outlier & kind)), int(np.sum(kind))
        ways = sum(
            math.comb(all_of, i) * math.comb(total - all_of, n - i) for i in range(have, n + 1)
        )
        text = f" ({have} of the {n} {words}; of all runs {all_of / total:.0%})"
        best = min(best, (ways / math.comb(total, n), text))
    return best[1]
