"""What every limit and every other regime of a recommendation is worth, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...recipe import REGIMES
from ...variables import REGIME_WORDS
from .._result import Position, Recommendations, finite_or_none
from ..question import NO_STANDING
from ._alternatives import compute_gain, loss_given_up
from ._sensitivity import sensitivities
from ._sway import Sway


def worth_records(
    recommendations: Recommendations, swayed: Mapping[Position, Sway] | None = None
) -> list[dict[str, Any]]:
    """One flat dict per position; None where there is nothing to say.

    Beside `language`, `compute` and `target_tokens` these are the `regime` and `loss` of the
    recipe; for each regime by its key in `variables.REGIME_WORDS`, as in `lost_two_stage` and
    `compute_gain_two_stage`, the nats per token that it would lose and how many times the compute
    it would need to be as good; the sentences `prices` and `kinks` of `Sensitivities`, none under
    constraints given as functions; how the recipe stands, see `Standing`; in `infeasible` why
    there is no recipe; and where `swayed` says that it hangs on one or two runs, their names in
    `hangs_on` and a sentence in `sway`.
    """
    lost = loss_given_up(recommendations)
    gain = np.stack([compute_gain(recommendations, regime) for regime in REGIMES], axis=-1)
    records = []
    for i, j, t in np.ndindex(*recommendations.feasible.shape):
        feasible = bool(recommendations.feasible[i, j, t])
        record: dict[str, Any] = {
            "language": recommendations.languages[i],
            "compute": float(recommendations.compute[j]),
            "target_tokens": float(recommendations.target_tokens[i, t]),
            "regime": REGIMES[recommendations.regime[i, j, t]] if feasible else None,
            "loss": finite_or_none(float(recommendations.loss[i, j, t])),
        }
        for k, words in enumerate(REGIME_WORDS.values()):
            record[f"lost_{words.key}"] = finite_or_none(lost[i, j, t, k])
            record[f"compute_gain_{words.key}"] = finite_or_none(gain[i, j, t, k])
        record["prices"], record["kinks"] = [], []
        if feasible and not recommendations.questions.has_functions:
            derivatives = sensitivities(recommendations, i, j, t)
            record["prices"] = list(derivatives.prices.values())
            record["kinks"] = list(derivatives.kinks)
        record.update(recommendations.standings[i, j, t].record() if feasible else NO_STANDING)
        record["infeasible"] = recommendations.infeasible.get((i, j, t))
        sway = (swayed or {}).get((i, j, t))
        record["hangs_on"] = [] if sway is None else list(sway.runs)
        record["sway"] = None if sway is None else sway.in_words(recommendations.at(i, j, t))
        records.append(record)
    return records
