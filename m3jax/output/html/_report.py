"""The report: one HTML file that says what was found, how sure it is, and what it rests on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ... import formatting
from ..._version import __version__
from ...comparison import Score
from ...files import write_text
from ...fitting import Diagnosis, Fits
from ...optimization import Recommendations
from ..tables import (
    Table,
    all_scores_table,
    coefficients_table,
    diagnoses_table,
    plain_column,
    recommendations_table,
)
from . import _page
from ._answer import answer
from ._caveats import NOT_THE_PAPERS

_MOST_ROWS = 200
_OPEN = 3  # up to so many languages, coefficient tables stand open

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


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    fits: Fits,
    recommendations: Recommendations | None,
    scores: Sequence[Score],
    figures: Mapping[str, bytes],
    diagnoses: Mapping[str, Diagnosis] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write `report_page` to a file, whole or not at all. Raises `M3Error` as it, or on writing."""
    page = report_page(
        title=title,
        fits=fits,
        recommendations=recommendations,
        scores=scores,
        figures=figures,
        diagnoses=diagnoses,
        notes=notes,
    )
    return write_text(path, page)


def report_page(
    *,
    title: str,
    fits: Fits,
    recommendations: Recommendations | None,
    scores: Sequence[Score],
    figures: Mapping[str, bytes],
    diagnoses: Mapping[str, Diagnosis] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """One HTML page that needs nothing outside itself.

    Args:
        title: heads the report.
        fits: what was fitted.
        recommendations: what `optimize` made of it; None where no recipes were asked for.
        scores: hold-out results; what is None or not a number is shown as "–".
        figures: caption -> bytes of a PNG file, in the order to show.
        diagnoses: what `diagnose` makes of each language's runs; left out if None.
        notes: further caveats, in sentences.

    Raises `M3Error` if a figure is not a PNG.
    """
    body = [
        *(_recipes(recommendations) if recommendations is not None else ()),
        *([_page.heading("Figures")] if figures else []),
        *(_page.picture(caption, png) for caption, png in figures.items()),
        *determined_section(diagnoses or {}),
        *_fits(fits),
        *_scores(scores),
        *_caveats(fits, recommendations, scores, notes),
        *_settings(fits, recommendations),
    ]
    return _page.page(title, body)


def _recipes(recommendations: Recommendations) -> Iterator[str]:
    yield _page.paragraph(answer(recommendations), "answer")
    yield _page.heading("Recommended recipes")
    table = recommendations_table(recommendations)
    yield _page.table(table, most=_MOST_ROWS, rest="recipes.csv has them all")


def determined_section(diagnoses: Mapping[str, Diagnosis]) -> Iterator[str]:
    """What each language's runs are worth, in sentences; of many languages the first sentence."""
    if not diagnoses:
        return
    table = diagnoses_table(diagnoses, "What the runs determine")
    yield _page.heading(table.title)
    if len(diagnoses) > _OPEN:
        yield _page.table(table, most=_MOST_ROWS, rest="`m3jax diagnose` has them all")
        return
    for name, diagnosis in diagnoses.items():
        scatter = formatting.percent(diagnosis.noise)
        summary = f"{name}: {diagnosis.grade}, {diagnosis.n_runs} runs"
        inner = [_page.bullets(diagnosis.verdicts)]
        groups = _by_determination(diagnosis)
        if groups:
            inner.append(_page.paragraph(f"Coefficients determined {'; '.join(groups)}.", "faint"))
        yield _page.details(f"{summary}, scatter around the fit {scatter}", inner, is_open=True)


def _by_determination(diagnosis: Diagnosis) -> list[str]:
    """Names of coefficients by how well the runs determine them: "well: E, A"."""
    groups = {
        label: [c.name for c in diagnosis.coefficients if c.determined == label]
        for label in ("well", "weakly", "prior only", "not", "fixed")
    }
    return [f"{label}: {', '.join(names)}" for label, names in groups.items() if names]


def _fits(fits: Fits) -> Iterator[str]:
    yield _page.heading("The fit")
    yield _page.paragraph(f"Law {fits.law.name}, loss in nats per token:")
    yield _page.formula(fits.law.formula)
    entries = fits.to_dict()["languages"]
    for language, entry in entries.items():
        summary = f"{language}: {entry['status']}, {entry['n_runs']} runs"
        inner = []
        if language in fits.languages:
            r2 = formatting.r_squared(entry["r2"])
            summary += f", R² {r2}, objective {entry['objective']:.4g}"
            inner.append(_page.table(coefficients_table(fits, language)))
        inner.append(_page.bullets(entry["messages"]))
        yield _page.details(summary, inner, is_open=len(entries) <= _OPEN)
    text = "R²: share of the variance of loss explained. Objective: Huber losses of log residuals."
    yield _page.paragraph(text, "faint")


def _scores(scores: Sequence[Score]) -> Iterator[str]:
    table = all_scores_table(scores)
    yield _page.heading(table.title)
    if scores:
        yield _page.table(table, most=_MOST_ROWS)
    else:
        yield _page.paragraph("No hold-out comparison was made.")


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
