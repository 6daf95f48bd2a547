"""Results as tables on the terminal; plain text when piped."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import formatting as fmt
from ..comparison import Score
from ..fitting import CoefficientDiagnosis, Diagnosis, Fits
from ..optimization import Recommendations, RegimeMap
from ..variables import REGIME_WORDS

SHORT = {name: words.short for name, words in REGIME_WORDS.items()}


def open_console() -> Console:
    # Piped output has no width of its own: do not fold rows that a program may read.
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
    return Console(width=wide, highlight=False)


def new_table(title: str, columns: Sequence[str], *, tight: bool = False) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0) if tight else (0, 2, 0, 0),
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=i == 0)
    return table


def say(console: Console, notes: Sequence[str], prefix: str = "") -> None:
    for note in notes:
        console.print(f"  note: {escape(prefix + note)}", soft_wrap=True)


def show_fits(fits: Fits, notes: Sequence[str] = (), *, brief: bool = False) -> None:
    """One table of languages, then (unless `brief`) the coefficients of each."""
    console = open_console()
    table = new_table(
        f"Law {fits.law.name}: fit of {escape(str(fits.settings['source']))}",
        ["language", "runs", "R²", "objective", "status"],
    )
    for i, name in enumerate(fits.languages):
        table.add_row(
            escape(name),
            str(fits.n_runs[i]),
            f"{fits.r2[i]:.4f}",
            f"{fits.objective[i]:.6g}",
            "ok" if fits.converged[i] else "not converged",
        )
    for name, (n_runs, _) in fits.failed.items():
        table.add_row(escape(name), str(n_runs), fmt.MISSING, fmt.MISSING, "not fitted")
    console.print(table)
    say(console, notes)
    many = len(fits.languages) > 1
    for name, told in zip(fits.languages, fits.messages, strict=True):
        say(console, told, f"{name}: " if many else "")
    for name, (_, reason) in fits.failed.items():
        say(console, [reason], f"{name}: ")
    if brief or not fits.languages:
        return
    _show_population(console, fits)
    level = fits.settings["level"]
    drawn = fits.draws.shape[1] > 0
    for i, name in enumerate(fits.languages):
        table = new_table(
            f"Coefficients{f' of {escape(name)}' if many else ''}",
            ["coefficient", "value", f"{level:.0%} interval", "meaning"],
        )
        table.columns[3].justify = "left"
        values, spans = fits.coefficients(name), fits.intervals(name)
        for j, c in enumerate(fits.law.coefficients):
            held = bool(fits.frozen[i, j])
            low, high = spans[c.name]
            span = "held" if held else f"{low:.4g} to {high:.4g}" if drawn else fmt.MISSING
            table.add_row(c.name, f"{values[c.name]:.6g}", span, escape(c.meaning))
        console.print(table)


def _show_population(console: Console, fits: Fits) -> None:
    """What the languages have in common, where they were pooled."""
    if fits.population is None:
        return
    found = fits.population
    table = new_table(
        f"What {found.languages} languages have in common ({found.pool} pooling)",
        ["coefficient", "a further language's, one sd", "pooled"],
    )
    rho = dict(zip(found.names, found.rho, strict=True))
    for name, (low, high) in found.ranges(fits.law).items():
        table.add_row(name, f"{low:.4g} to {high:.4g}", f"{1 - rho[name]:.0%}")
    console.print(table)
    say(console, [found.status])


_BRIEF = 3  # languages; beyond so many, each gets one line


def show_diagnoses(
    found: Mapping[str, Diagnosis], law: str, source: str, *, brief: bool = False
) -> None:
    """What the runs determine: coefficients and verdicts of each language.

    Of many languages, or if `brief`, one line each.
    """
    console = open_console()
    if brief or len(found) > _BRIEF:
        table = new_table(
            f"What the runs of {escape(source)} tell law {law}",
            ["language", "runs", "grade", "noise", "R²", "first of all"],
        )
        table.columns[5].justify = "left"
        for name, d in found.items():
            table.add_row(escape(name), *_summary(d), escape(next(iter(d.verdicts), "")))
        console.print(table)
        return
    for name, d in found.items():
        runs, grade, noise, r2 = _summary(d)
        title = f"{escape(name)}, law {law}: {grade} ({runs} runs, noise {noise}, R² {r2})"
        if d.coefficients:
            columns = ["coefficient", "value", "standard error", "determined", "note"]
            table = new_table(title, columns)
            table.columns[3].justify = table.columns[4].justify = "left"
            for c in d.coefficients:
                note = escape(c.note)
                table.add_row(c.name, f"{c.value:.4g}", _error(c), c.determined, note)
            console.print(table)
        else:
            console.print(title, style="bold")
        for verdict in d.verdicts:
            console.print(f"  - {escape(verdict)}", soft_wrap=True)
        if d.outliers:
            names = ", ".join(f"{run.name} ({np.expm1(run.residual):+.0%})" for run in d.outliers)
            console.print(f"  outlier runs, loss against the fit: {escape(names)}", soft_wrap=True)
        console.print()


def _summary(d: Diagnosis) -> list[str]:
    noise = fmt.MISSING if d.noise is None else f"{d.noise:.2%}"
    return [str(d.n_runs), d.grade, noise, fmt.MISSING if d.r2 is None else f"{d.r2:.3f}"]


def _error(c: CoefficientDiagnosis) -> str:
    if c.standard_error is None:
        return fmt.MISSING
    if not c.log:
        return f"± {c.standard_error:.2g}"
    return f"×/÷ {np.exp(c.standard_error):.3g}" if c.standard_error < 20 else "any"


def show_scores(scores: Sequence[Score]) -> None:
    """Hold-out errors by law, the best first: one table a hold-out and, of a few, language."""
    console = open_console()
    languages = list(dict.fromkeys(score.language for score in scores))
    for holdout in dict.fromkeys(score.holdout for score in scores):
        mine = [s for s in scores if s.holdout == holdout]
        if len(languages) > _BRIEF:
            _show_summary(console, holdout, mine)
        else:
            for language in languages:
                _show_holdout(console, holdout, language, mine, alone=len(languages) == 1)
        told = dict.fromkeys((s.language, s.message) for s in mine if s.message)
        for language, message in told:
            laws = [s.law for s in mine if (s.language, s.message) == (language, message)]
            who = "" if len(laws) == len(mine) else f"{', '.join(laws)}, "
            say(console, [f"{who}{language}: {message}"])


def _show_holdout(
    console: Console, holdout: str, language: str, scores: Sequence[Score], *, alone: bool
) -> None:
    rivals = [s for s in scores if s.language == language and s.mae is not None]
    if not rivals:
        return
    first = rivals[0]
    counts = f"{first.n_train} fitted, {first.n_test} held out"
    if first.n_slices:
        counts += f", regret over {first.n_slices} choices"
    table = new_table(
        f"Held-out runs: {holdout}{'' if alone else f', {escape(language)}'} ({counts})",
        [
            "law",
            "coefs",
            "MAE\nnats",
            "behind best\n(90%)",
            "relative\nerror",
            "R²",
            "regret\nnats",
        ],
        tight=True,
    )
    for s in sorted(rivals, key=lambda s: s.mae or 0.0):
        span = f"{fmt.loss(s.behind_low)} to {fmt.loss(s.behind_high)}"
        level = " =" if s.behind and s.level_with_best else ""
        table.add_row(
            s.law,
            str(s.n_coefficients),
            fmt.loss(s.mae),
            f"{span}{level}" if s.behind else "best",
            fmt.MISSING if s.mean_relative_error is None else f"{s.mean_relative_error:.2%}",
            fmt.MISSING if s.r2 is None else f"{s.r2:.3f}",
            fmt.loss(s.regret),
        )
    console.print(table)
    if any(s.behind and s.level_with_best for s in rivals):
        console.print("  = : these runs cannot tell the law from the best one")


def _show_summary(console: Console, holdout: str, scores: Sequence[Score]) -> None:
    """Of many languages, medians and how often each law is best."""
    table = new_table(
        f"Held-out runs: {holdout}, medians of languages",
        ["law", "languages", "MAE, nats", "rel. error", "R²", "best", "best or level"],
    )
    rows = []
    for law in dict.fromkeys(s.law for s in scores):
        mine = [s for s in scores if s.law == law and s.mae is not None]
        if mine:
            errors = [(s.mae, s.mean_relative_error, s.r2) for s in mine]
            mae, relative, r2 = (
                float(np.median([v for v in column if v is not None] or [np.nan]))
                for column in zip(*errors, strict=True)
            )
            best = sum(s.behind == 0 for s in mine)
            level = sum(s.level_with_best for s in mine)
            cells = [fmt.loss(mae), f"{relative:.2%}", fmt.ratio(r2), str(best), str(level)]
            rows.append((mae, [law, str(len(mine)), *cells]))
    for _, row in sorted(rows):
        table.add_row(*row)
    console.print(table)


def show_predictions(rows: Sequence[Mapping[str, Any]]) -> None:
    """Predicted losses of given recipes."""
    console = open_console()
    table = new_table(
        "Predicted loss, nats per token",
        ["language", "N", "target\ntokens", "epochs", "ratio", "final", "FLOP", "loss", "interval"],
        tight=True,
    )
    for row in rows:
        table.add_row(
            escape(row["language"]),
            fmt.count(row["n_params"]),
            fmt.count(row["target_tokens"]),
            fmt.ratio(row["epochs"]),
            fmt.ratio(row["target_ratio"]),
            fmt.ratio(row["final_ratio"]),
            fmt.flop(row["compute"]),
            fmt.loss(row["loss"]),
            fmt.interval(row["loss_low"], row["loss_high"], lambda x: f"{x:.3f}"),
        )
    console.print(table)


def show_recommendations(found: Recommendations) -> None:
    """Best recipes, one table a language."""
    console = open_console()
    records = found.records()
    for i, language in enumerate(found.languages):
        table = new_table(
            f"Best recipes for {escape(language)}"
            + (f", below each its {found.level:.0%} interval" if found.n_draws else ""),
            [
                "compute\nFLOP",
                "corpus\ntokens",
                "model\nparams",
                "epochs\n",
                "target\nratio",
                "final\n(stage)",
                "loss\nnats/token",
                "regime (of draws)\nnext best",
            ],
            tight=True,
        )
        table.columns[7].justify = "left"
        mine = [row for row in records if row["language"] == language]
        for row in mine:
            table.add_row(*_cells(row))
        console.print(table)
        say(console, found.notes[i])
        for row in mine:
            if row["infeasible"]:
                place = f"{fmt.flop(row['compute'])} FLOP, {fmt.count(row['target_tokens'])} tokens"
                say(console, [f"{place}: no recipe: {row['infeasible']}"])
        beyond = [row for row in mine if row["outside_runs"]]
        if beyond:
            last = ", ".join(beyond[-1]["outside_runs"])
            count = f"{len(beyond)} of {len(mine)} recipes go"
            say(console, [f"{count} beyond the runs; the last of them: {last}"])


def show_pilot_plan(groups: Sequence[Mapping[str, Any]]) -> None:
    """A pilot's runs by model size and length."""
    runs, compute = (sum(group[key] for group in groups) for key in ("runs", "compute"))
    table = new_table(
        f"{runs} runs, {fmt.flop(compute)} FLOP",
        ["parameters", "tokens", "steps", "batch", "runs", "two-stage", "FLOP"],
    )
    for group in groups:
        table.add_row(
            fmt.count(group["n_params"]),
            fmt.count(group["total_tokens"]),
            *(str(group[key]) for key in ("steps", "batch", "runs", "two_stage")),
            fmt.flop(group["compute"]),
        )
    open_console().print(table)


def _cells(row: Mapping[str, Any]) -> list[str]:
    place = [fmt.flop(row["compute"]), fmt.count(row["target_tokens"])]
    if not row["feasible"]:
        return [*place, *[fmt.MISSING] * 5, "none allowed"]

    def spread(name: str, write: Any, ends: str) -> str:
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        span = "" if low is None else f"\n{low:{ends}}–{high:{ends}}"
        return f"{write(row[name])}{span}"

    two = "two-stage" in row["regime"]
    final = f"{row['final_ratio']:.2f}\n({row['stage_fraction']:.0%})" if two else "same"
    keys = {name: words.key for name, words in REGIME_WORDS.items()}
    share = row[f"share_{keys[row['regime']]}"]
    regime = SHORT[row["regime"]] + ("" if share is None else f" ({share:.0%})")
    others = {
        SHORT[name]: row[f"loss_{key}"] - row["loss"]
        for name, key in keys.items()
        if name != row["regime"] and row[f"loss_{key}"] is not None
    }
    if others:
        worth, other = min((value, name) for name, value in others.items())
        regime += f"\n{other}: " + ("no worse" if worth < 5e-5 else f"+{worth:.4f}")
    return [
        *place,
        fmt.count(row["n_params"]),
        spread("epochs", fmt.ratio, ".2g"),
        spread("target_ratio", fmt.ratio, ".2g"),
        final,
        spread("loss", fmt.loss, ".3f"),
        regime,
    ]


def show_map(found: RegimeMap) -> None:
    """Thresholds of one language's regime map, and the guidelines."""
    console = open_console()
    share = ", with intervals over draws" if found.n_draws else ""
    table = new_table(
        f"Where the best regime of {escape(found.language)} changes{share}",
        ["compute\nFLOP", "corpus\ntokens", "with less", "with more", "third regime\nloses"],
    )
    for c in found.crossings:
        span = "" if c.low is None else f"\n{fmt.interval(c.low, c.high, fmt.count)}"
        table.add_row(
            fmt.flop(c.compute),
            fmt.count(c.target_tokens) + span,
            SHORT[c.below],
            SHORT[c.above],
            fmt.loss(c.margin),
        )
    console.print(table)
    if not found.crossings:
        console.print("  nowhere on the map")
    if found.slope is not None:
        console.print(f"  monolingual is best above a corpus that grows as C^{found.slope:.3f}")
    for guideline in found.guidelines:
        drawn = (
            ""
            if guideline.share is None
            else f" (holds in {guideline.share:.0%} of the draws that can tell)"
        )
        line = f"  {guideline.name}: {guideline.verdict}{drawn}: {guideline.evidence}"
        console.print(escape(line), soft_wrap=True)
    say(console, found.notes)
