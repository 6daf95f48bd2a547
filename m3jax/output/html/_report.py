"""The report: one HTML file that says what was found, how sure it is, and what it rests on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import formatting
from ..._version import __version__
from ...comparison import Score
from ...design import NextRuns
from ...files import write_text
from ...fitting import Diagnosis, Fits
from ...optimization import Recommendations
from ...runs import RunTable
from ..tables import Table, plain_column
from . import _page
from ._answer import answer
from ._calculator import first_questions
from ._caveats import NOT_THE_PAPERS
from ._living import living_page
from ._payload import page_data

_MOST_ROWS = 200

_SETTING_WORDS = {
    "huber_delta": "Huber delta, log residuals",
    "starts": "starts per fit",
    "draws": "bootstrap draws",
    "level": "level of intervals",
    "prior": "prior on coefficients",
    "seed": "seed",
    "fixed": "coefficients fixed by hand",
    "source": "run table",
    "notes": "notes on the run table",
    "reading": "how the run table was read",
}


def write_report(path: str | os.PathLike[str], **content: Any) -> Path:
    """Write `report_page` to a file, whole or not at all. Raises `M3Error` as it, or on writing."""
    return write_text(path, report_page(**content))


def report_page(
    *,
    title: str,
    fits: Fits,
    recommendations: Recommendations | None,
    scores: Sequence[Score],
    runs: RunTable | None = None,
    diagnoses: Mapping[str, Diagnosis] | None = None,
    proposals: Sequence[NextRuns] = (),
    notes: Sequence[str] = (),
    command: str = "",
) -> str:
    """One HTML page that needs nothing outside itself, and finds recipes where it is opened.

    Args:
        title: heads the report.
        fits: what was fitted.
        recommendations: what `optimize` made of it; None where no recipes were asked for.
        scores: hold-out results.
        runs: that were fitted, to be drawn.
        diagnoses: what `diagnose` makes of each language's runs; left out if None.
        proposals: which runs to do next, of some languages.
        notes: further caveats, in sentences.
        command: what made the page.
    """
    questions = first_questions(fits) if recommendations is None else recommendations.questions
    data = page_data(
        title=title,
        fits=fits,
        questions=questions,
        recommendations=recommendations,
        runs=runs,
        diagnoses=diagnoses,
        scores=scores,
        proposals=proposals,
    )
    body = [
        *_caveats(fits, recommendations, scores, notes),
        *_settings(fits, recommendations),
    ]
    return living_page(
        body,
        data=data,
        fits=fits,
        runs=runs,
        answer="" if recommendations is None else answer(recommendations),
        elsewhere="; recipes.csv and fits.json hold the results" if recommendations else "",
        command=command,
    )


def _caveats(
    fits: Fits,
    recommendations: Recommendations | None,
    scores: Sequence[Score],
    notes: Sequence[str],
) -> Iterator[str]:
    items = [] if recommendations is None else _caveats_of_recipes(recommendations)
    items.append("Losses are those of the runs' held-out text and tokenizer; compute is 6·N·D.")
    if any(name.startswith("m3") for name in (fits.law.name, *(s.law for s in scores))):
        items.append(NOT_THE_PAPERS)
    if recommendations is not None:
        for language, held in zip(recommendations.languages, recommendations.notes, strict=True):
            items += [f"{language}: {note}" for note in held[:_MOST_ROWS]]
    yield _page.heading("Caveats")
    yield _page.bullets([*items, *notes])


def _caveats_of_recipes(recommendations: Recommendations) -> list[str]:
    calibrated = recommendations.questions.spread.calibrated
    if not recommendations.n_draws:
        items = ["No bootstrap draws were made: nothing here has an interval."]
    else:
        level = formatting.level(recommendations.level)
        span = f"{level} of {recommendations.n_draws} draws"
        items = [
            f"Intervals span {span}, refits with the runs weighted at random, as wide as hold-outs"
            " inside the runs ask for and wider beyond the runs. Those of losses are of the mean"
            " over runs; one run scatters around it by the noise."
            if calibrated
            else f"Intervals span {span}, refits with the runs weighted at random. They tell how"
            " far the answer hangs on single runs, not whether the law is right: the hold-outs tell"
            " that."
        ]
    items.append(
        f"{len(recommendations.outside)} of {recommendations.feasible.sum()} recipes leave the"
        " ground the runs cover: there the law extrapolates"
        + ("." if calibrated else ", beyond what the intervals tell.")
    )
    return items


def _settings(fits: Fits, recommendations: Recommendations | None) -> Iterator[str]:
    settings = {
        "m3jax": __version__,
        "law": f"{fits.law.name}: {fits.law.source}",
        **{_SETTING_WORDS.get(key, key): _setting(v) for key, v in fits.settings.items()},
    }
    if recommendations is not None:
        settings["draws behind the recipes' intervals"] = recommendations.n_draws
    table = Table(
        title="Settings and versions",
        columns=(plain_column("setting"), plain_column("value", prose=True)),
        rows=[{"setting": name, "value": setting} for name, setting in settings.items()],
    )
    yield _page.heading(table.title)
    yield _page.table(table)


def _setting(setting: Any) -> Any:
    """A setting as the table writes it: mappings in one line, lists in a line each."""
    if isinstance(setting, Mapping):
        return ", ".join(f"{name} = {_in_line(value)}" for name, value in setting.items())
    if isinstance(setting, (list, tuple)):
        return "\n".join(map(str, setting))
    return setting


def _in_line(value: Any) -> str:
    """A value of a mapping."""
    if isinstance(value, Mapping):
        return f"({_setting(value)})"
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(number, float) for number in value):
            return "–".join(map(_in_line, value))  # the range that a prior says
        return f"({', '.join(map(_in_line, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)
