"""The table of recipes: one definition for the terminal and the report."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

from m3jax import formatting
from m3jax.optimization import Crossing
from m3jax.output.tables import (
    crossings_table,
    predictions_table,
    recommendations_table,
    regime_gaps,
)
from m3jax.recipe import REGIMES
from m3jax.variables import REGIME_WORDS

from ..cases import ODD


@pytest.fixture(scope="module")
def tables(case):
    return recommendations_table(case.found, ODD), recommendations_table(case.undrawn, ODD)


def _column(table, view, key):
    keys = [column.key for column in table.shown(view)]
    return [cells[keys.index(key)] for cells in table.cells(view)]


def test_both_views_have_every_position_of_the_language(tables, case):
    drawn, _ = tables
    assert len(drawn.rows) == case.found.feasible[0].size
    assert len(recommendations_table(case.found).rows) == case.found.feasible.size
    assert "language" in [column.key for column in drawn.shown("full")]
    assert "language" not in [column.key for column in drawn.shown("brief")]
    for view in ("brief", "full"):
        budgets = _column(drawn, view, "compute")
        assert budgets == [formatting.flop(row["compute"]) for row in drawn.rows]


def test_intervals_are_below_the_values_where_there_are_draws(tables):
    drawn, undrawn = tables
    assert "90% interval" in drawn.title
    assert "interval" not in undrawn.title
    for view in ("brief", "full"):
        for row, text, bare in zip(
            drawn.rows,
            _column(drawn, view, "epochs"),
            _column(undrawn, view, "epochs"),
            strict=True,
        ):
            assert bare == formatting.ratio(row["epochs"])
            assert text.split("\n")[0] == bare
            assert ("\n" in text) == row["feasible"]


def test_positions_without_a_recipe_say_so(tables):
    drawn, _ = tables
    empty = [i for i, row in enumerate(drawn.rows) if not row["feasible"]]
    assert empty
    for i in empty:
        assert _column(drawn, "brief", "choice")[i] == "none allowed"
        assert _column(drawn, "full", "outside")[i].startswith("no recipe is allowed: compute")
        for key in ("regime", "n_params", "final_ratio", "gaps", "held_by", "stage_fraction"):
            assert _column(drawn, "full", key)[i] == "–", key
        assert _column(drawn, "brief", "budget_used")[i] == "–"
    assert sum("no recipe" in note for note in drawn.notes) == len(empty)


def test_the_next_best_regime_is_the_least_loss(tables):
    drawn, _ = tables
    for row, text in zip(drawn.rows, _column(drawn, "brief", "choice"), strict=True):
        if row["feasible"]:
            gaps = regime_gaps(row)
            assert row["regime"] not in dict(gaps)
            assert text.endswith(f"+{min(gap for _, gap in gaps):.4f}" if gaps else "(75%)")
            assert "(75%)" in text


def test_a_limiting_case_is_no_rival(tables):
    drawn, _ = tables
    row = next(row for row in drawn.rows if row["feasible"])
    others = {name: f"loss_{words.key}" for name, words in REGIME_WORDS.items()}
    own = others.pop(row["regime"])
    (_, near_key), (far, far_key) = others.items()
    tied = {**row, own: row["loss"], near_key: row["loss"] + 1e-8, far_key: row["loss"] + 0.02}
    assert regime_gaps(tied) == [(far, pytest.approx(0.02))]
    alone = dataclasses.replace(drawn, rows=[tied, {**tied, far_key: row["loss"]}])
    assert _column(alone, "full", "gaps") == [f"\n{far}: 0.0200", "–"]
    rival, none = _column(alone, "brief", "choice")
    assert rival == f"{none}\n{REGIME_WORDS[far].short}\n+0.0200"


@pytest.mark.parametrize(
    ("margin", "shown"), [(0.0, "–"), (4e-5, "–"), (0.0123, "0.0123"), (math.inf, "–")]
)
def test_a_third_regime_that_loses_nothing_is_not_said_to(margin, shown):
    crossing = Crossing(1e18, 1e9, *REGIMES[1:], margin, None, None, None)
    asked = SimpleNamespace(language=ODD, n_draws=0, crossings=(crossing,), notes=())
    table = crossings_table(asked)
    assert table.cells("brief")[0][-1] == shown


def test_predictions():
    row = {
        "language": ODD, "n_params": 1e6, "target_tokens": 1e5, "epochs": 4.0, "compute": 2.4e12,
        "target_ratio": 0.5, "final_ratio": 0.5, "loss": 1.25, "loss_low": 1.0, "loss_high": 2.0,
        "run_low": 0.9, "run_high": 2.1,
    }  # fmt: skip
    cells = predictions_table(
        [row, row | dict.fromkeys(("loss_low", "loss_high", "run_low", "run_high"))]
    ).cells("brief")
    assert cells[0] == [
        ODD, "1.00M", "100K", "4.00", "0.500", "0.500", "2.4e+12", "1.2500",
        "1.000–2.000\n(0.900–2.100)",
    ]  # fmt: skip
    assert cells[1][-1] == "–"
    assert np.shape(cells) == (2, 9)
