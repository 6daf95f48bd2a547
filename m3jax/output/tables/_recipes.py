"""Tables of recipes: recommended ones, and the predicted losses of others."""

from __future__ import annotations

from collections.abc import Sequence

from ... import formatting
from ...optimization import Recommendations
from ...recipe import REGIMES
from ...variables import LIMIT_WORDS, REGIME_WORDS, VARIABLES
from ._table import (
    Column,
    Record,
    Table,
    plain_column,
    symbol_header,
    variable_column,
    with_interval,
)


def recommendations_table(recommendations: Recommendations, language: str | None = None) -> Table:
    """One row a position, of all languages or of one; its notes are those of the one."""
    records = [row for row in recommendations.records() if language in (None, row["language"])]
    level = formatting.level(recommendations.level)
    below = f", below each its {level} interval" if recommendations.n_draws else ""
    return Table(
        title=f"Best recipes{'' if language is None else f' for {language}'}{below}",
        columns=(
            plain_column("language", views=("full",)),
            variable_column("compute", "compute,\nFLOP", brief="compute\nFLOP"),
            variable_column("target_tokens", "unique target\ntokens", brief="corpus\ntokens"),
            Column("regime", "regime", _regime, views=("full",)),
            variable_column("n_params", "model\nparams", views=("brief",)),
            Column("epochs", "epochs\n", _epochs_roughly, views=("brief",)),
            Column("target_ratio", "target\nratio", _ratio_roughly, views=("brief",)),
            Column("final_ratio", "final\n(stage)", final_stage, views=("brief",)),
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
            Column("limits", "limits that hold it", _limits, views=("full",)),
            Column("outside", "outside the runs", _outside, prose=True, views=("full",)),
            Column("choice", "regime (of draws)\nnext best", _choice, left=True, views=("brief",)),
        ),
        rows=records,
        notes=() if language is None else _notes(recommendations, language, records),
    )


def regime_gaps(row: Record) -> list[tuple[str, float]]:
    """What the best recipe of each other regime on offer would lose, nats."""
    return [
        (name, max(row[f"loss_{words.key}"] - row["loss"], 0.0))
        for name, words in REGIME_WORDS.items()
        if name != row["regime"] and row[f"loss_{words.key}"] is not None
    ]


def limits_in_words(row: Record) -> list[str]:
    """The limits that hold a recipe."""
    return [LIMIT_WORDS[name] for name in row["active_limits"]]


def outside_in_words(row: Record) -> list[str]:
    """In which variables a recipe leaves the runs' range."""
    return [text.replace("_", " ") for text in row["outside_runs"]]


def _notes(
    recommendations: Recommendations, language: str, records: Sequence[Record]
) -> tuple[str, ...]:
    notes = list(recommendations.notes[recommendations.languages.index(language)])
    for row in records:
        if row["infeasible"]:
            budget, corpus = formatting.flop(row["compute"]), formatting.count(row["target_tokens"])
            notes.append(f"{budget} FLOP, {corpus} tokens: no recipe: {row['infeasible']}")
    beyond = [row for row in records if row["outside_runs"]]
    if beyond:
        last = ", ".join(beyond[-1]["outside_runs"])
        notes.append(
            f"{len(beyond)} of {len(records)} recipes go beyond the runs; the last of them: {last}"
        )
    return tuple(notes)


def _with_interval(name: str, level: str) -> Column:
    """A variable of the full view, its interval below it."""
    words = {"n_params": "model size N,\nparameters", "loss": "predicted loss,\nnats per token"}
    header = f"{words.get(name) or symbol_header(name)}\n[{level}]"
    write = formatting.writer(name)
    return Column(name, header, lambda row: with_interval(row, name, write), views=("full",))


# The brief view has no room for more digits of the ends.


def _epochs_roughly(row: Record) -> str:
    return with_interval(row, "epochs", formatting.ratio, lambda x: f"{x:.2g}")


def _ratio_roughly(row: Record) -> str:
    return with_interval(row, "target_ratio", formatting.ratio, lambda x: f"{x:.2g}")


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
    gaps = [
        (name, formatting.loss(gap) if gap >= formatting.LEAST_LOSS else "same")
        for name, gap in regime_gaps(row)
    ]
    return _details([f"{name}: {text}" for name, text in gaps])


def _limits(row: Record) -> str:
    return _details(limits_in_words(row))


def _details(lines: Sequence[str]) -> str:
    return "\n" + "\n".join(lines) if lines else formatting.MISSING


def _outside(row: Record) -> str:
    if not row["feasible"]:
        return f"no recipe is allowed: {row['infeasible']}"
    return "\n".join(outside_in_words(row)) or formatting.MISSING


def _choice(row: Record) -> str:
    """The regime, the share of draws that it is best in, and the next best regime."""
    if not row["feasible"]:
        return "none allowed"
    words = REGIME_WORDS[row["regime"]]
    share = row[f"share_{words.key}"]
    text = words.short + ("" if share is None else f" ({formatting.share(share)})")
    gaps = regime_gaps(row)
    if gaps:
        name, gap = min(gaps, key=lambda item: item[::-1])
        worse = "no worse" if gap < formatting.LEAST_LOSS else f"+{formatting.loss(gap)}"
        text += f"\n{REGIME_WORDS[name].short}: {worse}"
    return text


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
            Column("interval", "interval", _loss_interval),
        ),
        rows=records,
    )


def _loss_interval(row: Record) -> str:
    return formatting.write_interval(row["loss_low"], row["loss_high"], lambda x: f"{x:.3f}")
