"""Why a question has no allowed recipe, in a sentence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import formatting
from ...variables import DECISION_VARIABLES
from ..solvers import NAMED_LIMITS, Question
from ._ranges import Range

_AMOUNTS = ("compute", "gpu_hours", "total_tokens", "source_tokens")


def infeasibility(
    question: Question,
    offered: np.ndarray,
    blame: np.ndarray,
    violation: float,
    words: Callable[[str], str],
) -> str:
    """The limits that clash, and by how much.

    Args:
        question: one, leaves () and (4,).
        offered: regimes on offer, (3,) bool.
        blame: a smallest set of the limits `NAMED_LIMITS` that clash, (15,) bool.
        violation: the least there is of constraints given as functions; 0 without.
        words: a limit by its name, with its value and who set it.
    """
    if not offered.any():
        return "the bounds leave no regime: no target_ratio is allowed"
    if violation > 0:
        return (
            "the constraints given as functions cannot be kept together with the other limits: the"
            f" best point found oversteps them by {violation:.3g}"
        )
    names = [name for name, guilty in zip(NAMED_LIMITS, blame, strict=True) if guilty]
    together = f"these limits clash: {', '.join(map(words, names))}"
    amounts = [name for name in names if name in _AMOUNTS]
    if not amounts:
        variables = [name.partition(" ")[2] for name in names]
        common = [v for v in DECISION_VARIABLES if v in variables]
        first = common[0] if common else "recipe"
        return f"no {first} lies between its lowest and highest allowed value; {together}"
    n, k, tokens = question.low[0], float(question.fewest_passes()), question.least_tokens
    simplest = int(np.argmax(offered))  # the simplest regime is the least demanding
    r = 1.0 if simplest == 0 else min(question.high[2], question.high[3])
    total = k * tokens / r
    cost = 6.0 * n * total
    needs, cap, unit = {
        "compute": (cost + 2.0 * n * question.inference_tokens, question.compute, "FLOP"),
        "gpu_hours": (cost, question.gpu_flops, "FLOP"),
        "total_tokens": (total, question.total_tokens, "tokens"),
        "source_tokens": (total * (1 - r), question.source_tokens, "tokens"),
    }[amounts[0]]
    return (
        f"{amounts[0]}: the least demanding allowed recipe (n_params {n:.4g}, target_tokens"
        f" {tokens:.4g} read {k:.4g}×, target_ratio {r:.4g}) needs {needs:.4g} {unit}, the limit is"
        f" {cap:.4g}; {together}"
    )


def too_little_text(tokens: float, allowed: Range) -> str:
    """That a corpus is too far below those of the runs."""
    return (
        f"target_tokens: {formatting.count(tokens)} distinct ones are fewer than"
        f" {formatting.count(allowed.low)}, the least within reach of the runs"
        f" ({allowed.low_source})"
    )
