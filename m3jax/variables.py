"""Every variable of a recipe or a result, once: its symbol, unit, and names in sentences."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Variable:
    """One variable, as formulas, tables and sentences name it.

    Attributes:
        name: of the column and the field, as `n_params`.
        symbol: in formulas, as "N".
        unit: of its values, as "parameters"; "" for a pure number.
        noun: in sentences, as "model size".
        plural: the same, as "model sizes".
        axis: the label of an axis or a column, with symbol and unit.
        kind: how its values are written: "count", "flop", "ratio" or "loss"; see `formatting`.
    """

    name: str
    symbol: str
    unit: str
    noun: str
    plural: str
    axis: str
    kind: str


VARIABLES = {
    variable.name: variable
    for variable in (
        Variable(
            "n_params",
            "N",
            "parameters",
            "model size",
            "model sizes",
            "model size N, parameters",
            "count",
        ),
        Variable(
            "target_tokens",
            "D_T",
            "tokens",
            "corpus size",
            "corpus sizes",
            "unique target tokens D_T",
            "count",
        ),
        Variable(
            "epochs",
            "k",
            "passes over the target corpus",
            "number of epochs",
            "numbers of epochs",
            "epochs k over the target corpus",
            "ratio",
        ),
        Variable(
            "total_tokens",
            "D",
            "tokens",
            "number of training tokens",
            "numbers of training tokens",
            "training tokens D",
            "count",
        ),
        Variable(
            "source_tokens",
            "D_S",
            "tokens",
            "number of source tokens",
            "numbers of source tokens",
            "source tokens D_S",
            "count",
        ),
        Variable(
            "target_ratio",
            "r",
            "",
            "target ratio",
            "target ratios",
            "target ratio r, share of all tokens",
            "ratio",
        ),
        Variable(
            "final_ratio", "r_f", "", "final ratio", "final ratios", "final ratio r_f", "ratio"
        ),
        Variable(
            "first_ratio", "r_1", "", "first ratio", "first ratios", "first ratio r_1", "ratio"
        ),
        Variable(
            "stage_fraction",
            "s",
            "",
            "final-stage share",
            "final-stage shares",
            "final stage s, share of all tokens",
            "ratio",
        ),
        Variable("compute", "C", "FLOP", "compute", "budgets", "compute C, FLOP", "flop"),
        Variable("loss", "L", "nats per token", "loss", "losses", "loss, nats per token", "loss"),
    )
}

# What a run table can vary; a coefficient of a law names those it cannot be fitted without.
RUN_VARIABLES = (
    "n_params",
    "target_tokens",
    "epochs",
    "total_tokens",
    "target_ratio",
    "final_ratio",
    "first_ratio",
)
# What a recipe is optimised over, in the order of the solvers' z = (log N, log k, log r, log r_f).
DECISION_VARIABLES = ("n_params", "epochs", "target_ratio", "final_ratio")
# What a proposed run is described by, in the order of `design`'s x.
SHEET_VARIABLES = ("n_params", "target_tokens", "epochs", "target_ratio", "stage_fraction")
