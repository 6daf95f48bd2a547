"""The table model: columns write rows, views choose columns."""

import dataclasses

import pytest

from m3jax.formatting import MISSING
from m3jax.output.tables import Column, Table, plain_column, variable_column
from m3jax.variables import VARIABLES


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    loss: float | None
    message: str = ""


COLUMNS = (
    plain_column("name", "law"),
    variable_column("loss", "loss,\nnats per token", brief="loss"),
    plain_column("message", prose=True, views=("full",)),
    Column("both", "both", lambda row: f"{row.name}\n{row.loss}", views=("brief",)),
)


def test_views_choose_columns_and_headers():
    table = Table("Losses", COLUMNS, [Row("m3", 1.5)])
    headers = {
        view: [column.heading(view) for column in table.shown(view)] for view in ("brief", "full")
    }
    assert headers["brief"] == ["law", "loss", "both"]
    assert headers["full"] == ["law", "loss,\nnats per token", "message"]
    assert table.cells("brief") == [["m3", "1.5000", "m3\n1.5"]]
    assert table.cells("full") == [["m3", "1.5000", MISSING]]


def test_rows_are_mappings_or_objects_and_what_is_not_known_is_a_dash():
    table = Table("", COLUMNS[:3], [Row("m3", None, "why"), {"name": "kaplan", "loss": 2}])
    assert table.cells("full") == [["m3", MISSING, "why"], ["kaplan", "2.0000", MISSING]]
    assert Table("", COLUMNS, []).cells("brief") == []


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [("n_params", 1.2e6, "1.20M"), ("compute", 1e20, "1e+20"), ("epochs", 4.0, "4.00")],
)
def test_a_variable_is_written_as_its_kind_is(name, number, text):
    assert VARIABLES[name].kind != "loss"
    assert variable_column(name, name).write({name: number}) == text
