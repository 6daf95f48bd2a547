"""What the page works with: the law, each language's coefficients, draws and limits, and its runs.

`web/src/data.ts` has the same in types; the page computes from it what Python computes from fits.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...comparison import Score
from ...design import NextRuns
from ...fitting import Diagnosis, Fits
from ...formatting import printable
from ...optimization import Questions, Recommendations, covered_by
from ...recipe import REGIMES
from ...runs import RunTable
from ...variables import DECISION_VARIABLES
from ._program import law_program

_DIGITS = 7  # of runs, which are drawn and not computed with

# Leaves of a recipe, by their names in the page.
_RECIPE = {
    "nParams": "n_params",
    "targetTokens": "target_tokens",
    "epochs": "epochs",
    "targetRatio": "target_ratio",
    "finalRatio": "final_ratio",
    "firstRatio": "first_ratio",
}
_OF_ROWS = {"compute": "compute", "loss": "loss", "low": "loss_low", "high": "loss_high",
            "used": "budget_used", "infeasible": "infeasible"}  # fmt: skip


def page_data(
    *,
    title: str,
    fits: Fits,
    questions: Questions,
    recommendations: Recommendations | None = None,
    runs: RunTable | None = None,
    diagnoses: Mapping[str, Diagnosis] | None = None,
    scores: Sequence[Score] = (),
    proposals: Sequence[NextRuns] = (),
    objective: str = "point",
    times_optimal: float | None = None,
) -> dict[str, Any]:
    """All of it in JSON, every number finite or None.

    Args:
        title: heads the page.
        fits: what was fitted.
        questions: what recipes are allowed, and where the page begins: with the last question of
            each language.
        recommendations: the recipes that were found.
        runs: to be drawn.
        diagnoses: what the runs determine.
        scores: of laws on hold-outs.
        proposals: which runs to do next.
        objective: what the page minimises, "point" or "mean_log", see `optimize`.
        times_optimal: how many times the compute-optimal size its models may have.
    """
    values, limits = questions.values, questions.limits
    further = {sheet.language: _further(sheet) for sheet in proposals}
    left_out = [name for name in ("constraints", "source_fits") if getattr(limits, name)]
    return {
        "title": printable(title),
        "level": fits.settings["level"] if recommendations is None else recommendations.level,
        "calibrated": questions.spread.calibrated,
        "law": {
            "name": fits.law.name,
            "coefficients": [{"name": c.name, "meaning": c.meaning} for c in fits.law.coefficients],
            "program": law_program(fits.law),
        },
        "limits": {
            "sourceTokens": _finite(values.source_tokens[0]),
            "inferenceTokens": float(values.inference_tokens[0]),
            "gpuFlops": _finite(values.gpu_flops[0]),
            "firstRatio": float(values.first_ratio[0]),
            "ladder": list(limits.ladder) if limits.ladder else None,
            "leftOut": left_out,
            "timesOptimal": times_optimal,
        },
        "objective": objective,
        "languages": [
            _language(i, fits, questions, recommendations, runs, (diagnoses or {}).get(name))
            | {"next": further.get(name)}
            for i, name in enumerate(questions.languages)
        ],
        "rows": [] if recommendations is None else list(map(_row, *_places(recommendations))),
        "notFitted": [
            {"name": printable(name), "why": printable(why)}
            for name, (_, why) in fits.failed.items()
        ],
        "scores": [_score(score) for score in scores],
    }


def _language(
    i: int,
    fits: Fits,
    questions: Questions,
    recommendations: Recommendations | None,
    runs: RunTable | None,
    diagnosis: Diagnosis | None,
) -> dict[str, Any]:
    name, allowed, scope = questions.languages[i], questions.allowed[i], questions.scopes[i]
    ranges, spread, at = allowed.ranges, questions.spread, fits.index(name)
    own = np.flatnonzero(questions.language == i)
    asked = own[-1]
    count = spread.theta.shape[1] if recommendations is None else recommendations.n_draws
    values, spans = fits.coefficients(name), fits.intervals(name)
    determined = {c.name: c.determined for c in diagnosis.coefficients} if diagnosis else {}
    text = ranges["target_tokens"]
    return {
        "name": printable(name),
        "theta": fits.theta[at].tolist(),
        "draws": _packed(spread.theta[i, :count]),
        "bends": _packed(spread.bends[i, :count]),
        "edges": [[_finite(x) for x in side] for side in spread.edges[i]],
        "regimes": list(allowed.regimes),
        "low": [ranges[v].low for v in DECISION_VARIABLES],
        "high": [ranges[v].high for v in DECISION_VARIABLES],
        "stage": [ranges["stage_fraction"].low, ranges["stage_fraction"].high],
        "firstShare": allowed.first_share,
        "maxTotalTokens": _finite(ranges["total_tokens"].high),
        "text": [text.low, _finite(text.high)],
        "covered": {
            "compute": list(scope.ranges["compute"]),
            **{v: list(ends) for v, ends in covered_by(scope).items()},
        },
        "ground": scope.words,
        "words": questions.limits_in_words(i),
        "grade": fits.grades[at],
        "nRuns": int(fits.n_runs[at]),
        "r2": _finite(fits.r2[at]),
        "noise": _finite(fits.noise[at]),
        "compute": float(questions.values.compute[asked]),
        "targetTokens": float(questions.at_hand[asked]),
        "notes": [
            *map(printable, fits.messages[at]),
            *([] if recommendations is None else map(printable, recommendations.notes[i])),
        ],
        "verdicts": list(map(printable, diagnosis.verdicts)) if diagnosis else [],
        "coefficients": [
            {
                "value": values[c],
                "low": spans[c][0] if count else None,
                "high": spans[c][1] if count else None,
                "determined": determined.get(c, "fixed" if fits.frozen[at, j] else ""),
            }
            for j, c in enumerate(fits.law.names)
        ],
        "runs": None if runs is None else _runs(runs.for_language(name)),
    }


def _runs(runs: RunTable) -> dict[str, Any]:
    counted = np.flatnonzero(runs.weight > 0)
    columns = {key: getattr(runs.recipe, name) for key, name in _RECIPE.items()}
    rounded = {
        key: [float(f"{x:.{_DIGITS}g}") for x in column[counted]]
        for key, column in (columns | {"loss": runs.loss}).items()
    }
    return {"name": [printable(str(name)) for name in runs.run_id[counted]], **rounded}


def _further(sheet: NextRuns) -> dict[str, Any]:
    names = _RECIPE | {"compute": "compute", "worth": "worth"}
    return {
        "now": sheet.regret_now,
        "after": sheet.regret_after,
        "random": sheet.regret_random,
        "runs": [{key: row[name] for key, name in names.items()} for row in sheet.records()],
    }


def _places(recommendations: Recommendations) -> tuple[list[int], list[dict[str, Any]]]:
    records = recommendations.records()
    number = {name: i for i, name in enumerate(recommendations.languages)}
    return [number[row["language"]] for row in records], records


def _row(language: int, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "language": language,
        "regime": None if row["regime"] is None else REGIMES.index(row["regime"]),
        **{key: row[name] for key, name in (_RECIPE | _OF_ROWS).items()},
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "language": printable(score.language),
        "holdout": score.holdout,
        "law": score.law,
        "error": _finite(score.mean_relative_error),
        "regret": _finite(score.regret),
        "level": score.level_with_best,
        "tested": score.n_test,
        "why": None if score.message is None else printable(score.message),
    }


def _packed(rows: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(rows, dtype="<f4").tobytes()).decode("ascii")


def _finite(x: float | None) -> float | None:
    return float(x) if x is not None and math.isfinite(x) else None
