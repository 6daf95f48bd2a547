"""The page that says which law predicts runs it has not seen, and which recipes hang on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .. import formatting
from ..comparison import Score
from ..files import write_text
from ..laws import get_law, list_laws
from . import _html

_MOST_ROWS = 400

_CAVEATS = (
    "A law that wins on these hold-outs has won on these runs: the further a recipe is from them,"
    " the less that says.",
    "Intervals resample the held-out runs. They do not tell how another table, or other seeds,"
    " would have come out.",
    "Regret compares recipes that were all run: at one corpus size and one budget, the measured"
    " loss of the run that the law predicts best minus the best measured.",
    "Laws that depend on a variable which does not vary here become the same law, and score alike.",
    "The equation of arXiv:2410.12325v2 was not available. m3 is a law with the paper's variables,"
    " limits and reported structure whose exact form was chosen by measurement; it is not the"
    " paper's equation.",
)


def write_comparison(
    path: str | os.PathLike[str],
    *,
    title: str,
    scores: Sequence[Score],
    figures: Mapping[str, bytes] | None = None,
    weights: Mapping[str, Mapping[str, float]] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write one HTML file that needs nothing outside itself; whole or not at all.

    Args:
        path: of the file.
        title: heads the page.
        scores: what `compare` found.
        figures: caption -> bytes of a PNG file, in the order to show.
        weights: language -> law -> weight, see `evaluation.stacking_weights`.
        notes: further caveats, in sentences.

    Raises `M3Error` if a figure is not a PNG, or the folder cannot be written to.
    """
    body = [
        _html.paragraph(verdict(scores), "answer"),
        *_tables(scores),
        *_weights(weights or {}),
        *([_html.heading("Figures")] if figures else []),
        *(_html.picture(caption, png) for caption, png in (figures or {}).items()),
        *_laws(scores),
        _html.heading("Caveats"),
        _html.bullets([*_CAVEATS, *notes]),
    ]
    return write_text(path, _html.page(title, body))


def verdict(scores: Sequence[Score]) -> str:
    """Who wins where, in sentences."""
    said = []
    for language, holdout in dict.fromkeys((s.language, s.holdout) for s in scores):
        rivals = ranked(scores, language, holdout)
        place = f"{language}, hold-out {holdout}"
        if not rivals or rivals[0].mae is None:
            said.append(f"{place}: no law could be tested.")
            continue
        best = rivals[0]
        level = [s.law for s in rivals[1:] if s.level_with_best]
        text = f"{place}: {best.law} is best (error {_share(best.mean_relative_error)})"
        if level:
            shown = ", ".join(level[:4]) + (f" and {len(level) - 4} more" if level[4:] else "")
            text += f"; these runs cannot tell it from {shown}"
        said.append(text + ".")
    return " ".join(said[:12]) + (f" And {len(said) - 12} more." if len(said) > 12 else "")


def ranked(scores: Sequence[Score], language: str, holdout: str) -> list[Score]:
    """Scores of one language and hold-out, the best first, those without figures last."""
    mine = [s for s in scores if s.language == language and s.holdout == holdout]
    return sorted(mine, key=lambda s: (s.mae is None, s.mae or 0.0))


def _tables(scores: Sequence[Score]) -> Iterator[str]:
    headers = (
        "law",
        "coefficients\nfitted",
        "mean abs. error,\nnats per token",
        "behind the best,\nnats [90%]",
        "mean relative\nerror",
        "R² on them",
        "AIC of\nthe fit",
        "BIC of\nthe fit",
        "recipe regret,\nnats",
        "message",
    )
    shown = 0
    for language, holdout in dict.fromkeys((s.language, s.holdout) for s in scores):
        rivals = ranked(scores, language, holdout)
        if shown >= _MOST_ROWS:
            text = f"{_MOST_ROWS} of {len(scores)} rows are shown; --json has them all."
            yield _html.paragraph(text, "faint")
            return
        shown += len(rivals)
        counts = f"{rivals[0].n_train} runs fitted, {rivals[0].n_test} held out"
        slices = rivals[0].n_slices
        if slices:
            counts += f", {slices} groups of them with one corpus and budget"
        yield _html.heading(f"{language}: {holdout} held out")
        yield _html.paragraph(counts, "faint")
        yield _html.table(headers, map(_cells, rivals), prose=(9,))


def _cells(s: Score) -> list[str]:
    gap = formatting.loss(s.behind)
    if s.behind:
        gap += f"\n{formatting.interval(s.behind_low, s.behind_high, formatting.loss)}"
    return [
        s.law,
        formatting.MISSING if s.n_coefficients is None else str(s.n_coefficients),
        formatting.loss(s.mae),
        gap,
        _share(s.mean_relative_error),
        formatting.MISSING if s.r2 is None else f"{s.r2:.3f}",
        *(formatting.MISSING if v is None else f"{v:.1f}" for v in (s.aic, s.bic)),
        formatting.loss(s.regret),
        s.message or formatting.MISSING,
    ]


def _share(x: float | None) -> str:
    return formatting.MISSING if x is None else f"{x:.2%}"


def _weights(weights: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    if not weights:
        return
    yield _html.heading("Weights for averaging")
    rows = []
    for language, mine in weights.items():
        large = sorted(((w, law) for law, w in mine.items() if w >= 0.01), reverse=True)
        rows.append([language, ", ".join(f"{law} {w:.0%}" for w, law in large)])
    yield _html.table(("language", "weight of each law, from 1%"), rows, prose=(1,))


def _laws(scores: Sequence[Score]) -> Iterator[str]:
    known = set(list_laws())
    rows = [
        [name, get_law(name).formula, get_law(name).source]
        for name in dict.fromkeys(s.law for s in scores)
        if name in known
    ]
    if rows:
        yield _html.heading("The laws")
        yield _html.table(("law", "formula", "source"), rows, prose=(1, 2))
