"""The page that says which law predicts runs it has not seen, and which recipes hang on it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ... import formatting
from ...comparison import Score
from ...files import write_text
from ...laws import get_law, list_laws
from ..tables import Table, holdout_table, plain_column, ranked
from . import _page
from ._caveats import NOT_THE_PAPERS

_MOST_ROWS = 400
_MOST_VERDICTS = 12
_LEAST_WEIGHT = 0.01

_CAVEATS = (
    "A law that wins on these hold-outs has won on these runs: the further a recipe is from them,"
    " the less that says.",
    "Intervals resample the held-out runs. They do not tell how another table, or other seeds,"
    " would have come out.",
    "Regret compares recipes that were all run: at one corpus size and one budget, the measured"
    " loss of the run that the law predicts best minus the best measured.",
    "Laws that depend on a variable which does not vary here become the same law, and score alike.",
    NOT_THE_PAPERS,
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
        scores: what `compare` returned.
        figures: caption -> bytes of a PNG file, in the order to show.
        weights: language -> law -> weight, see `comparison.stacking_weights`.
        notes: further caveats, in sentences.

    Raises `M3Error` if a figure is not a PNG, or the folder cannot be written to.
    """
    body = [
        _page.paragraph(verdict(scores), "answer"),
        *_tables(scores),
        *_weights(weights or {}),
        *([_page.heading("Figures")] if figures else []),
        *(_page.picture(caption, png) for caption, png in (figures or {}).items()),
        *_laws(scores),
        _page.heading("Caveats"),
        _page.bullets([*_CAVEATS, *notes]),
    ]
    return write_text(path, _page.page(title, body))


def verdict(scores: Sequence[Score]) -> str:
    """Who wins where, in sentences."""
    sentences = []
    for language, holdout in dict.fromkeys((s.language, s.holdout) for s in scores):
        rivals = ranked(scores, language, holdout)
        place = f"{language}, hold-out {holdout}"
        if not rivals or rivals[0].mae is None:
            sentences.append(f"{place}: no law could be tested.")
            continue
        best = rivals[0]
        level = [s.law for s in rivals[1:] if s.level_with_best]
        error = formatting.percent(best.mean_relative_error)
        text = f"{place}: {best.law} is best (error {error})"
        if level:
            shown = ", ".join(level[:4]) + (f" and {len(level) - 4} more" if level[4:] else "")
            text += f"; these runs cannot tell it from {shown}"
        sentences.append(text + ".")
    rest = len(sentences) - _MOST_VERDICTS
    return " ".join(sentences[:_MOST_VERDICTS]) + (f" And {rest} more." if rest > 0 else "")


def _tables(scores: Sequence[Score]) -> Iterator[str]:
    shown = 0
    for language, holdout in dict.fromkeys((s.language, s.holdout) for s in scores):
        if shown >= _MOST_ROWS:
            text = f"{_MOST_ROWS} of {len(scores)} rows are shown; --json has them all."
            yield _page.paragraph(text, "faint")
            return
        table = holdout_table(scores, language, holdout)
        shown += len(table.rows)
        yield _page.heading(table.title)
        yield _page.table(table)


def _weights(weights: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    if not weights:
        return
    rows = []
    for language, by_law in weights.items():
        large = sorted(((w, law) for law, w in by_law.items() if w >= _LEAST_WEIGHT), reverse=True)
        text = ", ".join(f"{law} {formatting.share(w)}" for w, law in large)
        rows.append({"language": language, "weights": text})
    table = Table(
        title="Weights for averaging",
        columns=(
            plain_column("language"),
            plain_column("weights", "weight of each law, from 1%", prose=True),
        ),
        rows=rows,
    )
    yield _page.heading(table.title)
    yield _page.table(table)


def _laws(scores: Sequence[Score]) -> Iterator[str]:
    known = set(list_laws())
    table = Table(
        title="The laws",
        columns=(
            plain_column("name", "law"),
            plain_column("formula", prose=True),
            plain_column("source", prose=True),
        ),
        rows=[get_law(name) for name in dict.fromkeys(s.law for s in scores) if name in known],
    )
    if table.rows:
        yield _page.heading(table.title)
        yield _page.table(table)
