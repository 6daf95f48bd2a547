"""Words, symbols and units, once: of a recipe's variables, of regimes and of limits."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Variable:
    """One variable, as formulas, tables and sentences name it.

    Attributes:
        name: of the column and the field, as `n_params`.
        symbol: in formulas, as "N".
        unit: of its values, as "parameters"; "" for a pure number.
        kind: how its values are written: "count", "flop", "ratio" or "loss"; see `formatting`.
        noun: in sentences, as "model size".
        plural: the same, as "model sizes".
        short: the least that is understood without a glossary, as "N" or "target ratio".
        axis: the label of an axis, with symbol and unit.
        constant: that no run says anything about it, as "all runs have one model size"; "" if it is
            no run variable.
    """

    name: str
    symbol: str
    unit: str
    kind: str
    noun: str
    plural: str
    short: str
    axis: str
    constant: str = ""


VARIABLES = {
    variable.name: variable
    for variable in (
        Variable(
            name="n_params",
            symbol="N",
            unit="parameters",
            kind="count",
            noun="model size",
            plural="model sizes",
            short="N",
            axis="model size N, parameters",
            constant="all runs have one model size",
        ),
        Variable(
            name="target_tokens",
            symbol="D_T",
            unit="tokens",
            kind="count",
            noun="corpus size",
            plural="corpus sizes",
            short="D_T",
            axis="unique target tokens D_T",
            constant="all runs have one corpus size",
        ),
        Variable(
            name="epochs",
            symbol="k",
            unit="passes over the target corpus",
            kind="ratio",
            noun="number of epochs",
            plural="numbers of epochs",
            short="epochs",
            axis="epochs k over the target corpus",
            constant="no run goes beyond one epoch",
        ),
        Variable(
            name="total_tokens",
            symbol="D",
            unit="tokens",
            kind="count",
            noun="number of training tokens",
            plural="numbers of training tokens",
            short="total tokens",
            axis="training tokens D",
            constant="all runs have the same total tokens",
        ),
        Variable(
            name="source_tokens",
            symbol="D_S",
            unit="tokens",
            kind="count",
            noun="number of source tokens",
            plural="numbers of source tokens",
            short="source tokens",
            axis="source tokens D_S",
        ),
        Variable(
            name="target_ratio",
            symbol="r",
            unit="",
            kind="ratio",
            noun="target ratio",
            plural="target ratios",
            short="target ratio",
            axis="target ratio r, share of all tokens",
            constant="all runs have one target ratio",
        ),
        Variable(
            name="final_ratio",
            symbol="r_f",
            unit="",
            kind="ratio",
            noun="final ratio",
            plural="final ratios",
            short="final ratio",
            axis="final ratio r_f",
            constant="no two-stage runs",
        ),
        Variable(
            name="first_ratio",
            symbol="r_1",
            unit="",
            kind="ratio",
            noun="first ratio",
            plural="first ratios",
            short="first ratio",
            axis="first ratio r_1",
            constant="all two-stage runs have one share of the ratio before the final stage",
        ),
        Variable(
            name="stage_fraction",
            symbol="s",
            unit="",
            kind="ratio",
            noun="final-stage share",
            plural="final-stage shares",
            short="final stage",
            axis="final stage s, share of all tokens",
        ),
        Variable(
            name="compute",
            symbol="C",
            unit="FLOP",
            kind="flop",
            noun="compute",
            plural="budgets",
            short="compute",
            axis="compute C, FLOP",
        ),
        Variable(
            name="loss",
            symbol="L",
            unit="nats per token",
            kind="loss",
            noun="loss",
            plural="losses",
            short="loss",
            axis="loss, nats per token",
        ),
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


@dataclasses.dataclass(frozen=True)
class RegimeWords:
    """How a training regime is named.

    Attributes:
        name: in full, as in `recipe.REGIMES` and in every file.
        short: in the cells of tables.
        key: in names of columns, as `loss_two_stage`.
    """

    name: str
    short: str
    key: str


# By full name, in the order of the indices into `recipe.REGIMES`.
REGIME_WORDS = {
    regime.name: regime
    for regime in (
        RegimeWords("monolingual single-stage", "monolingual", "monolingual"),
        RegimeWords("multilingual single-stage", "one stage", "single_stage"),
        RegimeWords("multilingual two-stage", "two stages", "two_stage"),
    )
}

# By the names in `optimization.LIMITS`.
LIMIT_WORDS = {
    "compute": "compute budget",
    "total_tokens": "cap on total tokens",
    "lowest n_params": "smallest model allowed",
    "highest n_params": "largest model allowed",
    "lowest epochs": "fewest epochs allowed",
    "highest epochs": "most epochs allowed",
    "lowest target_ratio": "lowest target ratio allowed",
    "highest target_ratio": "highest target ratio allowed",
    "lowest final_ratio": "lowest final ratio allowed",
    "highest final_ratio": "highest final ratio allowed",
    "lowest stage_fraction": "shortest final stage allowed",
    "highest stage_fraction": "longest final stage allowed",
    "source_tokens": "source tokens available",
    "gpu_hours": "GPU hours available",
    "lowest first_ratio": "lowest ratio allowed before the final stage",
    "source_loss": "cap on the loss on source text",
    "constraint": "your own constraint",
}
