"""Every table, defined once for the terminal and for HTML."""

from ._diagnoses import determined_table, diagnoses_table
from ._fits import coefficients_table, languages_table, population_table
from ._languages import shared_table, split_table
from ._map import crossings_table
from ._planning import evidence_table, prospects_table, rules_table
from ._recipes import (
    outside_in_words,
    predictions_table,
    recommendations_table,
    regime_gaps,
    standing_in_words,
)
from ._runs import design_table, next_runs_table, pilot_table
from ._scores import LEVEL_MARK, holdout_table, medians_table, ranked
from ._table import Column, Record, Table, View, plain_column, variable_column
from ._worth import worth_table

__all__ = [
    "LEVEL_MARK",
    "Column",
    "Record",
    "Table",
    "View",
    "coefficients_table",
    "crossings_table",
    "design_table",
    "determined_table",
    "diagnoses_table",
    "evidence_table",
    "holdout_table",
    "languages_table",
    "medians_table",
    "next_runs_table",
    "outside_in_words",
    "pilot_table",
    "plain_column",
    "population_table",
    "predictions_table",
    "prospects_table",
    "ranked",
    "recommendations_table",
    "regime_gaps",
    "rules_table",
    "shared_table",
    "split_table",
    "standing_in_words",
    "variable_column",
    "worth_table",
]
