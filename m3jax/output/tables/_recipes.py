"""Tables of recipes: recommended ones, and the predicted losses of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ... import formatting
from ...recipe import REGIMES
from ...variables import REGIME_WORDS, VARIABLES
from ._table import (
    Column,
    Record,
    Table,
    plain_column,
    symbol_header,
    variable_column,
    with_interval,
)

if TYPE_CHECKING:
    from ...optimization import Recommendations


_MOST_NOTES = 12  # lines about single recipes below a table
_BRIEF = {"compute budget": "budget", "all target text read": "all text"}


def recommendations_table(recommendations: Recommendations, language: str | None = None) -> Table:
    """One row a position, of all languages or of one; its notes are those of the one."""
    records = [row for row in recommendations.records() if language in (None, row["language"])]
    level = formatting.level(recommendations.level)
    below = f", below each its {level} interval" if recommendations.n_draws else ""
    return Table(
        title=f"Best recipes{'' if language is None else f' for {language}'}{below}",
        columns=(
            plain_column("language", views=("full",)),
            variable_column("compute", "compute,\nFLOP", brief="FLOP\n"),
            plain_column("budget_used", "budget\nused", written_share, brief="used\n"),
            Column("target_tokens", "unique target\ntokens", _text, brief="text\n(read)"),
            Column("regime", "regime", _regime, views=("full",)),
            variable_column("n_params", "model\nsize", views=("brief",)),
            Column("epochs", "epochs\n", _epochs_roughly, views=("brief",)),
            Column("target_ratio", "ratio\n(final)", _ratios_roughly, views=("brief",)),
            Column("loss", "loss\nnats/token", _loss_roughly, views=("brief",)),
            *(
                _with_interval(name, level)
                for name in ("n_params", "epochs", "target_ratio", "final_ratio")
            ),
            Column(
                "stage_fraction", "final stage,\nshare of tokens", _final_share, views=("full",)
            ),
            variable_column("total_tokens", "total tokens", views=("full",)),
            _with_interval("loss", level),
            Column("gaps", "what other regimes\nwould lose, nats", _gaps, views=("full",)),
            Column("held_by", "held by", _held_by, prose=True, views=("full",)),
            Column("held_by", "held by\n", held_by_briefly, left=True, views=("brief",)),
            Column("outside", "outside the runs", _outside, prose=True, views=("full",)),
            Column("choice", "regime\n(draws)", _choice, left=True, views=("brief",)),
        ),
        rows=records,
        notes=() if language is None else _notes(recommendations, language, records),
    )


def regime_gaps(row: Record) -> list[tuple[str, float]]:
    """What the best recipe of each other regime on offer would lose, nats.

    A regime that loses nothing measurable has this very recipe as a limit (two stages of one ratio
    are one stage) and is no rival.
    """
    gaps = [
        (name, row[f"loss_{words.key}"] - row["loss"])
        for name, words in REGIME_WORDS.items()
        if name != row["regime"] and row[f"loss_{words.key}"] is not None
    ]
    return [(name, gap) for name, gap in gaps if gap >= formatting.LEAST_LOSS]


def outside_in_words(row: Record) -> list[str]:
    """In which variables a recipe leaves the runs' range."""
    return [text.replace("_", " ") for text in row["outside_runs"]]


def standing_in_words(row: Record) -> list[str]:
    """What must be known beside a recipe: unspent budget, and how far it is from the runs."""
    if row["warnings"] or not row["outside_runs"]:
        return list(row["warnings"])
    return [", ".join(row["outside_runs"])]


def _notes(
    recommendations: Recommendations, language: str, records: Sequence[Record]
) -> tuple[str, ...]:
    told = list(_proofs(records))
    for row in records:
        budget, text = formatting.flop(row["compute"]), formatting.count(row["target_tokens"])
        place = f"{budget} FLOP, {text} tokens: " if len(records) > 1 else ""
        if row["infeasible"]:
            told.append(
                f"{place or f'{budget} FLOP, {text} tokens: '}no recipe: {row['infeasible']}"
            )
        told += [f"{place}{sentence}" for sentence in standing_in_words(row)]
    if len(told) > _MOST_NOTES:
        more = f"and {len(told) - _MOST_NOTES} more such lines: see --recipes or --json"
        told = [*told[:_MOST_NOTES], more]
    return (*recommendations.notes[recommendations.languages.index(language)], *told)


def _proofs(records: Sequence[Record]) -> Iterator[str]:
    """Of how many recipes it is proven that they are best, and to within what."""
    gaps = [row["gap"] for row in records if row["gap"] is not None]
    if gaps:
        known = sum(row["feasible"] for row in records)
        which = "" if len(gaps) == known else f" ({len(gaps)} of {known})"
        # Of the log loss, so of the loss in parts of it.
        within = f"{100 * max(*gaps, 1e-8):.1g}%"
        yield f"proven best{which}: no allowed recipe has a loss lower by more than {within}"


def _with_interval(name: str, level: str) -> Column:
    """A variable of the full view, its interval below it."""
    words = {"n_params": "model size N,\nparameters", "loss": "predicted loss,\nnats per token"}
    header = f"{words.get(name) or symbol_header(name)}\n[{level}]"
    write = formatting.writer(name)
    return Column(name, header, lambda row: with_interval(row, name, write), views=("full",))


# The brief view has no room for more digits of the ends.


def _epochs_roughly(row: Record) -> str:
    return with_interval(row, "epochs", formatting.ratio, lambda x: f"{x:.2g}")


def _ratios_roughly(row: Record) -> str:
    text = with_interval(row, "target_ratio", formatting.ratio, lambda x: f"{x:.2g}")
    if row["regime"] != REGIMES[2]:
        return text
    return f"{text}\n→ {row['final_ratio']:.2f}\n({formatting.share(row['stage_fraction'])})"


def _loss_roughly(row: Record) -> str:
    return with_interval(row, "loss", formatting.loss, lambda x: f"{x:.3f}")


def _regime(row: Record) -> str:
    return row["regime"].replace(" ", "\n", 1) if row["feasible"] else formatting.MISSING


def _final_share(row: Record) -> str:
    return formatting.ratio(row["stage_fraction"] if row["regime"] == REGIMES[2] else None)


def final_stage(row: Record, before_share: str = "\n") -> str:
    """The final ratio and, in parentheses, the final stage's share of tokens: 0.80 (21%)."""
    if row["regime"] is None:
        return formatting.MISSING
    if row["regime"] != REGIMES[2]:
        return "same"
    return f"{row['final_ratio']:.2f}{before_share}({formatting.share(row['stage_fraction'])})"


def _gaps(row: Record) -> str:
    if not row["feasible"]:
        return formatting.MISSING
    return _details([f"{name}: {formatting.loss(gap)}" for name, gap in regime_gaps(row)])


def _held_by(row: Record) -> str:
    return "\n".join(row["held_by"]) or formatting.MISSING


def held_by_briefly(row: Record) -> str:
    """Symbols and values, without who set them: "N ≤ 3.00B"."""
    return "\n".join(_BRIEF.get(text) or _symbols(text) for text in row["held_by"])


def _symbols(text: str) -> str:
    name, space, rest = text.partition(" (")[0].partition(" ")
    return f"{VARIABLES[name].symbol}{space}{rest}" if name in VARIABLES else f"{name}{space}{rest}"


def written_share(share: float) -> str:
    """A share of a budget or of a text, with two digits where it is small."""
    return f"{100 * share:.2g}%" if share < 0.995 else "100%"


def _text(row: Record) -> str:
    """The text at hand and, where it is not all of it, the share that is read."""
    text = formatting.count(row["target_tokens"])
    share = row["share_read"]
    return text if share is None or share > 0.995 else f"{text}\n({written_share(share)})"


def _details(lines: Sequence[str]) -> str:
    return "\n" + "\n".join(lines) if lines else formatting.MISSING


def _outside(row: Record) -> str:
    if not row["feasible"]:
        return f"no recipe is allowed: {row['infeasible']}"
    return "\n".join([*outside_in_words(row), *row["warnings"]]) or formatting.MISSING


def _choice(row: Record) -> str:
    """The regime, the share of draws that it is best in, and the next best regime."""
    if not row["feasible"]:
        return "none allowed"
    words = REGIME_WORDS[row["regime"]]
    share = row[f"share_{words.key}"]
    lines = [words.short, *([] if share is None else [f"({formatting.share(share)})"])]
    gaps = regime_gaps(row)
    if gaps:
        name, gap = min(gaps, key=lambda item: item[::-1])
        lines += [REGIME_WORDS[name].short, f"+{formatting.loss(gap)}"]
    return "\n".join(lines)


def predictions_table(records: Sequence[Record]) -> Table:
    """One row a recipe that was asked about: its predicted loss."""
    return Table(
        title=f"Predicted loss, {VARIABLES['loss'].unit}",
        columns=(
            plain_column("language"),
            variable_column("n_params", "N"),
            variable_column("target_tokens", "target\ntokens"),
            variable_column("epochs", "epochs"),
            variable_column("target_ratio", "ratio"),
            variable_column("final_ratio", "final"),
            variable_column("compute", "FLOP"),
            variable_column("loss", "loss"),
            Column("interval", "interval\n(of one run)", _loss_intervals),
        ),
        rows=records,
    )


def _loss_intervals(row: Record) -> str:
    """Of the mean over runs, and below it of one run."""
    mean, run = (
        formatting.write_interval(row[f"{of}_low"], row[f"{of}_high"], lambda x: f"{x:.3f}")
        for of in ("loss", "run")
    )
    return mean if row["run_low"] is None else f"{mean}\n({run})"
