"""Comparisons of laws on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from ..tables import LEVEL_MARK, holdout_table, medians_table
from ._console import open_console, print_notes, print_table
from ._fits import DETAILED

if TYPE_CHECKING:
    from ...comparison import Score


def show_scores(scores: Sequence[Score], notes: Sequence[str] = ()) -> None:
    """Hold-out errors by law, the best first: one table a hold-out and, of a few, language.

    `notes` on the run table come first.
    """
    console = open_console()
    print_notes(console, notes)
    languages = list(dict.fromkeys(score.language for score in scores))
    for holdout in dict.fromkeys(score.holdout for score in scores):
        if len(languages) > DETAILED:
            print_table(console, medians_table(scores, holdout))
        else:
            for language in languages:
                _show_holdout(console, scores, language, holdout)
        print_notes(console, _messages([s for s in scores if s.holdout == holdout]))


def _show_holdout(console: Console, scores: Sequence[Score], language: str, holdout: str) -> None:
    tested = [s for s in scores if s.mae is not None]
    rivals = [s for s in tested if s.language == language and s.holdout == holdout]
    if not rivals:
        return
    print_table(console, holdout_table(tested, language, holdout), tight=True)
    if any(s.behind and s.level_with_best for s in rivals):
        console.print(f"  {LEVEL_MARK}")


def _messages(scores: Sequence[Score]) -> list[str]:
    """Why there are no figures: of which laws, unless of all, and for which language."""
    laws: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        if score.message:
            laws.setdefault((score.language, score.message), []).append(score.law)
    return [
        f"{'' if len(names) == len(scores) else ', '.join(names) + ', '}{language}: {message}"
        for (language, message), names in laws.items()
    ]
