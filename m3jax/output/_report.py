"""The report: one HTML file that says what was found, how sure it is, and what it rests on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import formatting as fmt
from .._version import __version__
from ..files import write_text
from ..fitting import Diagnosis, Fits
from ..optimization import Recommendations
from ..recipe import REGIMES
from ..variables import LIMIT_WORDS, REGIME_WORDS
from . import _html

_MOST_ROWS = 200
_OPEN = 3  # up to so many languages, coefficient tables stand open

_SAME = 5e-5  # nats; less is not worth a word

_NOT_THE_PAPERS = (
    "The equation of arXiv:2410.12325v2 was not available. m3 is a law with the paper's variables,"
    " limits and reported structure whose exact form was chosen by measurement; it is not the"
    " paper's equation."
)

_SETTINGS = {
    "huber_delta": "Huber delta, log residuals",
    "starts": "starts per fit",
    "draws": "bootstrap draws",
    "level": "level of intervals",
    "prior": "prior on coefficients",
    "seed": "seed",
    "fixed": "coefficients fixed by hand",
    "source": "run table",
    "notes": "notes on the run table",
}


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    fits: Fits,
    recommendations: Recommendations,
    scores: Sequence[Mapping[str, Any]],
    figures: Mapping[str, bytes],
    diagnoses: Mapping[str, Diagnosis] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write one HTML file that needs nothing outside itself; whole or not at all.

    Args:
        path: of the file.
        title: heads the report.
        fits: what was fitted.
        recommendations: what `optimize` made of it.
        scores: hold-out results as in `evaluation.Score`: law, language, holdout, n_train, n_test,
            mae, behind, mean_relative_error, r2, regret, message; a value that is None or absent
            is shown as "–".
        figures: caption -> bytes of a PNG file, in the order to show.
        diagnoses: what `diagnose` makes of each language's runs; left out if None.
        notes: further caveats, in sentences.

    Raises `M3Error` if a figure is not a PNG, or the folder cannot be written to.
    """
    records = recommendations.records()
    body = [
        _html.paragraph(_answer(recommendations, records), "answer"),
        *_recipes(recommendations, records),
        *([_html.heading("Figures")] if figures else []),
        *(_html.picture(caption, png) for caption, png in figures.items()),
        *determined_section(diagnoses or {}),
        *_fits(fits),
        *_scores(scores),
        *_caveats(fits, recommendations, scores, notes),
        *_settings(fits, recommendations),
    ]
    return write_text(path, _html.page(title, body))


def _answer(recommendations: Recommendations, records: Sequence[dict[str, Any]]) -> str:
    """The first language's best recipe for the largest budget, in words."""
    feasible = [row for row in records if row["feasible"]]
    if not feasible:
        return "No recipe is allowed within the limits that were given."
    language = feasible[0]["language"]
    row = max((r for r in feasible if r["language"] == language), key=lambda r: r["compute"])
    share = f"{100 * row['target_ratio']:.3g}% of all tokens"
    if row["regime"] == REGIMES[2]:
        share += (
            f" in the target language, concentrated in the last {100 * row['stage_fraction']:.3g}%"
            f" of training ({100 * row['first_ratio']:.3g}% before, then"
            f" {100 * row['final_ratio']:.3g}%)"
        )
    else:
        share += " in the target language throughout"
    text = (
        f"For {language}, with {fmt.count(row['target_tokens'])} unique target tokens and"
        f" {fmt.flop(row['compute'])} FLOP, the best recipe is {row['regime']}: a model of"
        f" {fmt.count(row['n_params'])} parameters, {fmt.ratio(row['epochs'])} epochs over"
        f" the target corpus, {share}, {fmt.count(row['total_tokens'])} tokens in all."
        f" The predicted loss is {fmt.loss(row['loss'])} nats per token"
    )
    regime = REGIME_WORDS[row["regime"]].key
    if recommendations.n_draws:
        level = f"{100 * recommendations.level:g}%"
        text += (
            f" ({level} interval {_spread(row, 'loss', fmt.loss)}). The interval of the epochs"
            f" is {_spread(row, 'epochs', fmt.ratio)}; {row['regime']} is best in"
            f" {100 * row[f'share_{regime}']:.0f}% of {recommendations.n_draws} bootstrap draws,"
            " and against the best recipe of each draw this one loses"
            f" {fmt.loss(row['regret'])} nats on average."
        )
    else:
        text += "; without bootstrap draws it is open how sure that is."
    losing = sorted((gap, name) for name, gap in _gaps(row) if gap >= _SAME)
    if losing:
        text += f" The next best regime, {losing[0][1]}, would lose {losing[0][0]:.4f} nats."
    else:
        text += " No other regime on offer does worse."
    text += f" It is held by: {', '.join(_limits(row)) or 'no limit'}."
    if row["outside_runs"]:
        text += f" This leaves the ground the runs cover: {_outside(row, '; ')}."
    if len(records) > 1:
        text += f" The table has all {len(records)} combinations."
    return text


def _recipes(recommendations: Recommendations, records: Sequence[dict[str, Any]]) -> Iterator[str]:
    level = f"[{100 * recommendations.level:g}%]"
    headers = (
        "language",
        "compute,\nFLOP",
        "unique target\ntokens",
        "regime",
        f"model size N,\nparameters\n{level}",
        f"epochs k\n{level}",
        f"target ratio r\n{level}",
        f"final ratio r_f\n{level}",
        "final stage,\nshare of tokens",
        "total tokens",
        f"predicted loss,\nnats per token\n{level}",
        "what other regimes\nwould lose, nats",
        "limits that hold it",
        "outside the runs",
    )
    yield _html.heading("Recommended recipes")
    rows = [_recipe_cells(row) for row in records[:_MOST_ROWS]]
    yield _html.table(headers, rows, prose=(13,))
    if len(records) > _MOST_ROWS:
        text = f"The first {_MOST_ROWS} of {len(records)} rows; recipes.csv has them all."
        yield _html.paragraph(text, "faint")


def _recipe_cells(row: Mapping[str, Any]) -> list[str]:
    start = [
        row["language"],
        fmt.flop(row["compute"]),
        fmt.count(row["target_tokens"]),
    ]
    if not row["feasible"]:
        return [*start, *[fmt.MISSING] * 10, f"no recipe is allowed: {row['infeasible']}"]

    def cell(name: str, write: Any) -> str:
        spread = _spread(row, name, write)
        return write(row[name]) + ("" if spread == fmt.MISSING else f"\n{spread}")

    gaps = [f"{name}: {'same' if gap < _SAME else f'{gap:.4f}'}" for name, gap in _gaps(row)]
    return [
        *start,
        row["regime"].replace(" ", "\n", 1),
        cell("n_params", fmt.count),
        *(cell(name, fmt.ratio) for name in ("epochs", "target_ratio", "final_ratio")),
        fmt.ratio(row["stage_fraction"] if row["regime"] == REGIMES[2] else None),
        fmt.count(row["total_tokens"]),
        cell("loss", fmt.loss),
        _small(gaps),
        _small(_limits(row)),
        _outside(row, "\n") or fmt.MISSING,
    ]


def _gaps(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What the best recipe of each other regime on offer would lose, nats."""
    return [
        (name, max(row[f"loss_{words.key}"] - row["loss"], 0.0))
        for name, words in REGIME_WORDS.items()
        if name != row["regime"] and row[f"loss_{words.key}"] is not None
    ]


def _spread(row: Mapping[str, Any], name: str, write: Any) -> str:
    return fmt.interval(row[f"{name}_low"], row[f"{name}_high"], write)


def _limits(row: Mapping[str, Any]) -> list[str]:
    return [LIMIT_WORDS[name] for name in row["active_limits"]]


def _small(lines: Sequence[str]) -> str:
    return "\n" + "\n".join(lines) if lines else fmt.MISSING


def _outside(row: Mapping[str, Any], between: str) -> str:
    return between.join(row["outside_runs"]).replace("_", " ")


def determined_section(diagnoses: Mapping[str, Diagnosis]) -> Iterator[str]:
    """What each language's runs are worth, in sentences; of many languages the first sentence."""
    if not diagnoses:
        return
    yield _html.heading("What the runs determine")
    if len(diagnoses) > _OPEN:
        rows = [
            [name, str(d.n_runs), d.grade, _share(d.noise), next(iter(d.verdicts), "")]
            for name, d in list(diagnoses.items())[:_MOST_ROWS]
        ]
        headers = ("language", "runs", "grade", "scatter around\nthe fit", "first of all")
        yield _html.table(headers, rows, prose=(4,))
        if len(diagnoses) > _MOST_ROWS:
            text = f"The first {_MOST_ROWS} of {len(diagnoses)}; `m3jax diagnose` has them all."
            yield _html.paragraph(text, "faint")
        return
    for name, d in diagnoses.items():
        summary = f"{name}: {d.grade}, {d.n_runs} runs, scatter around the fit {_share(d.noise)}"
        groups = {
            label: [c.name for c in d.coefficients if c.determined == label]
            for label in ("well", "weakly", "prior only", "not", "fixed")
        }
        found = [f"{label}: {', '.join(names)}" for label, names in groups.items() if names]
        inner = [_html.bullets(d.verdicts)]
        if found:
            inner.append(_html.paragraph(f"Coefficients determined {'; '.join(found)}.", "faint"))
        yield _html.details(summary, inner, is_open=True)


def _share(x: float | None) -> str:
    return fmt.MISSING if x is None else f"{100 * x:.2g}%"


def _fits(fits: Fits) -> Iterator[str]:
    yield _html.heading("The fit")
    yield _html.paragraph(f"Law {fits.law.name}, loss in nats per token:")
    yield _html.formula(fits.law.formula)
    entries = fits.to_dict()["languages"]
    meanings, level = {c.name: c.meaning for c in fits.law.coefficients}, fits.settings["level"]
    headers = ("coefficient", "value", *(f"{s}, {100 * level:g}%" for s in ("low", "high")))
    for language, entry in entries.items():
        rows = []
        for name, c in entry["coefficients"].items():
            drawn = fits.draws.shape[1] and not c["frozen"]
            ends = [f"{c[side]:.4g}" if drawn else fmt.MISSING for side in ("low", "high")]
            held = "held, not fitted" if c["frozen"] else ""
            rows.append([name, f"{c['value']:.4g}", *ends, held, meanings[name]])
        summary = f"{language}: {entry['status']}, {entry['n_runs']} runs"
        if rows:
            summary += f", R² {entry['r2']:.3f}, objective {entry['objective']:.4g}"
        inner = [_html.table((*headers, "", "meaning"), rows)] if rows else []
        inner.append(_html.bullets(entry["messages"]))
        yield _html.details(summary, inner, is_open=len(entries) <= _OPEN)
    text = "R²: share of the variance of loss explained. Objective: Huber losses of log residuals."
    yield _html.paragraph(text, "faint")


def _scores(scores: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield _html.heading("Laws compared on runs left out")
    if not scores:
        yield _html.paragraph("No hold-out comparison was made.")
        return
    errors = (
        "mean abs. error,\nnats per token",
        "behind the best\nlaw [90%]",
        "mean relative\nerror",
        "R² on them",
        "recipe regret,\nnats",
    )
    headers = ("law", "language", "runs left out", "runs fitted", "runs tested", *errors, "message")
    yield _html.table(headers, map(_score_cells, scores[:_MOST_ROWS]), prose=(10,))
    if len(scores) > _MOST_ROWS:
        yield _html.paragraph(f"The first {_MOST_ROWS} of {len(scores)} rows.", "faint")


def _score_cells(score: Mapping[str, Any]) -> list[str]:
    mae, relative, r2 = (_number(score.get(n)) for n in ("mae", "mean_relative_error", "r2"))
    behind = fmt.loss(_number(score.get("behind")))
    if score.get("behind"):
        low, high = (_number(score.get(f"behind_{side}")) for side in ("low", "high"))
        behind += f"\n{fmt.interval(low, high, fmt.loss)}"
    return [
        *(_text(score.get(name)) for name in ("law", "language", "holdout", "n_train", "n_test")),
        fmt.loss(mae),
        behind,
        fmt.MISSING if relative is None else f"{100 * relative:.3g}%",
        fmt.ratio(r2),
        fmt.loss(_number(score.get("regret"))),
        _text(score.get("message")),
    ]


def _text(value: Any) -> str:
    return fmt.MISSING if value in (None, "") else str(value)


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _caveats(
    fits: Fits,
    recommendations: Recommendations,
    scores: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
) -> Iterator[str]:
    items = []
    if recommendations.n_draws:
        span = f"{100 * recommendations.level:g}% of {recommendations.n_draws} bootstrap draws"
        items.append(
            f"Intervals span {span}, refits with the runs weighted at random. They tell how far the"
            " answer hangs on single runs, not whether the law is right: the hold-outs tell that."
        )
    else:
        items.append("No bootstrap draws were made: nothing here has an interval.")
    items.append(
        f"{len(recommendations.outside)} of {recommendations.feasible.sum()} recipes leave the"
        " ground the runs cover: there the law extrapolates, beyond what the intervals tell."
    )
    items.append("Losses are those of the runs' held-out text and tokenizer; compute is 6·N·D.")
    laws = {fits.law.name, *(str(score.get("law")) for score in scores)}
    if any(name.startswith("m3") for name in laws):
        items.append(_NOT_THE_PAPERS)
    for language, held in zip(recommendations.languages, recommendations.notes, strict=True):
        items += [f"{language}: {note}" for note in held[:_MOST_ROWS]]
    yield _html.heading("Caveats")
    yield _html.bullets([*items, *notes])


def _settings(fits: Fits, recommendations: Recommendations) -> Iterator[str]:
    rows = [["m3jax", __version__], ["law", f"{fits.law.name}: {fits.law.source}"]]
    for key, value in fits.settings.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{k} = {v:g}" for k, v in value.items())
        elif isinstance(value, (list, tuple)):
            value = "\n".join(map(str, value))
        rows.append([_SETTINGS.get(key, key), _text(value)])
    rows.append(["draws behind the recipes' intervals", str(recommendations.n_draws)])
    yield _html.heading("Settings and versions")
    yield _html.table(("setting", "value"), rows, prose=(1,))
