"""Tables of how laws predict runs that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ... import formatting
from ._table import Column, Table, plain_column

if TYPE_CHECKING:
    from ...comparison import Score


def _behind(score: Score) -> str:
    text = formatting.loss(score.behind)
    if not score.behind:
        return text
    return (
        f"{text}\n{formatting.write_interval(score.behind_low, score.behind_high, formatting.loss)}"
    )


def _behind_briefly(score: Score) -> str:
    if not score.behind:
        return "best"
    level = " =" if score.level_with_best else ""
    return f"{formatting.loss(score.behind_low)} to {formatting.loss(score.behind_high)}{level}"


LAW, LANGUAGE = plain_column("law"), plain_column("language")
FITTED_COEFFICIENTS = plain_column("n_coefficients", "coefficients\nfitted", brief="coefs")
MAE = plain_column("mae", "mean abs. error,\nnats per token", formatting.loss, brief="MAE\nnats")
BEHIND = Column("behind", "behind the best,\nnats [90%]", _behind, views=("full",))
BEHIND_BRIEFLY = Column("behind", "behind best\n(90%)", _behind_briefly, views=("brief",))
RELATIVE_ERROR = plain_column(
    "mean_relative_error",
    "mean relative\nerror",
    formatting.percent,
    brief="relative\nerror",
)
R2 = plain_column("r2", "R² on them", formatting.r_squared, brief="R²")
AIC = plain_column("aic", "AIC of\nthe fit", lambda x: f"{x:.1f}", views=("full",))
BIC = plain_column("bic", "BIC of\nthe fit", lambda x: f"{x:.1f}", views=("full",))
REGRET = plain_column("regret", "recipe regret,\nnats", formatting.loss, brief="regret\nnats")
MESSAGE = plain_column("message", prose=True, views=("full",))

LEVEL_MARK = "= : these runs cannot tell the law from the best one"


def ranked(scores: Sequence[Score], language: str, holdout: str) -> list[Score]:
    """Scores of one language and hold-out, the best first, those without figures last."""
    rivals = [s for s in scores if s.language == language and s.holdout == holdout]
    return sorted(rivals, key=lambda s: (s.mae is None, s.mae or 0.0))


def holdout_table(scores: Sequence[Score], language: str, holdout: str) -> Table:
    """One row a law, the best first, on a hold-out of a language that both have scores."""
    rivals = ranked(scores, language, holdout)
    alone = all(s.language == language for s in scores)
    place = holdout if alone else f"{holdout}, {language}"
    return Table(
        title=f"Held-out runs: {place} ({_counts(rivals[0])})",
        columns=(
            LAW,
            FITTED_COEFFICIENTS,
            MAE,
            BEHIND,
            BEHIND_BRIEFLY,
            RELATIVE_ERROR,
            R2,
            AIC,
            BIC,
            REGRET,
            MESSAGE,
        ),
        rows=rivals,
    )


def _counts(score: Score) -> str:
    counts = f"{score.n_train} fitted, {score.n_test} held out"
    return f"{counts}, regret over {score.n_slices} choices" if score.n_slices else counts


def medians_table(scores: Sequence[Score], holdout: str) -> Table:
    """One row a law that could be tested, over the languages of one hold-out, the best first."""
    averaged = ("mae", "mean_relative_error", "r2")
    rows = []
    for law in dict.fromkeys(s.law for s in scores if s.holdout == holdout):
        tested = [s for s in scores if (s.holdout, s.law) == (holdout, law) and s.mae is not None]
        if tested:
            rows.append(
                {
                    "law": law,
                    "languages": len(tested),
                    **{name: _median(tested, name) for name in averaged},
                    "best": sum(s.behind == 0 for s in tested),
                    "level": sum(s.level_with_best for s in tested),
                }
            )
    return Table(
        title=f"Held-out runs: {holdout}, medians of languages",
        columns=(
            LAW,
            plain_column("languages"),
            plain_column("mae", "MAE, nats", formatting.loss),
            plain_column("mean_relative_error", "rel. error", formatting.percent),
            plain_column("r2", "R²", formatting.r_squared),
            plain_column("best"),
            plain_column("level", "best or level"),
        ),
        rows=sorted(rows, key=lambda row: row["mae"]),
    )


def _median(scores: Sequence[Score], name: str) -> float:
    known = [x for s in scores if (x := getattr(s, name)) is not None]
    return float(np.median(known or [np.nan]))
