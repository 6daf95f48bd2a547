"""Columns, units and cells: what they may be called and hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from m3jax.runs import RunTable

from .tables import HEADER, ROWS, frame, read, refused, write


def test_mapped_columns_and_units(tmp_path: Path) -> None:
    runs = read(
        tmp_path,
        "params,unique,passes,percent,bits",
        "1.5,3,2,25,4",
        columns={
            "n_params": "params",
            "target_tokens": "unique",
            "epochs": "passes",
            "target_ratio": "percent",
            "loss": "bits",
        },
        units={"n_params": "M", "target_tokens": "B", "target_ratio": 0.01, "loss": "bits"},
    )
    assert runs.recipe.n_params[0] == 1.5e6
    assert runs.recipe.target_tokens[0] == 3e9
    assert runs.recipe.target_ratio[0] == 0.25
    assert runs.loss[0] == pytest.approx(4 * np.log(2))


@pytest.mark.parametrize(("unit", "factor"), [("K", 1e3), ("M", 1e6), ("B", 1e9), ("T", 1e12)])
def test_count_units(unit: str, factor: float) -> None:
    runs = RunTable.from_frame(frame(), units={"n_params": unit, "loss": "nats"})
    np.testing.assert_array_equal(runs.recipe.n_params, np.array([1e6, 1e6, 2e6]) * factor)
    np.testing.assert_array_equal(runs.loss, [3.0, 2.9, 2.8])


def test_errors_name_the_column_of_the_file() -> None:
    table = frame(loss=None, val_loss=[3.0, -2.0, 2.8])
    with refused("<table>, row 2, column 'val_loss' (loss): found -2.0"):
        RunTable.from_frame(table, columns={"loss": "val_loss"})


def test_a_mapped_column_wins_over_the_name_and_is_read_once() -> None:
    table = frame(params=[7e6, 8e6, 9e6])
    runs = RunTable.from_frame(table, columns={"n_params": "params"})
    np.testing.assert_array_equal(runs.recipe.n_params, table["params"])
    # total_tokens, claimed as target_tokens, is not checked as total_tokens as well.
    table = frame(target_tokens=None, total_tokens=[1e6, 2e6, 2e6])
    runs = RunTable.from_frame(table, columns={"target_tokens": "total_tokens"})
    np.testing.assert_array_equal(runs.recipe.target_tokens, table["total_tokens"])


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"params": "n_params"}, ("'params'", "did you mean {'n_params': 'params'}", "'epochs'")),
        ({"size": "loss2"}, ("unknown name 'size'", "'n_params'", "'loss'")),
        ({"loss": "los"}, ("'loss' is mapped to 'los'", "'n_params'", "did you mean 'loss'")),
        ({"loss": "epochs", "epochs": "epochs"}, ("'loss' and 'epochs' are both", "'epochs'")),
    ],
)
def test_bad_mappings(columns: dict[str, str], parts: Any) -> None:
    with refused("mine: columns: ", *parts):
        RunTable.from_frame(frame(), columns=columns, source="mine")


@pytest.mark.parametrize(
    ("units", "parts"),
    [
        ({"n_params": "G"}, ("'G' for 'n_params'", "'K', 'M', 'B', 'T'")),
        ({"loss": "M"}, ("'M' for 'loss'", "'nats', 'bits'")),
        ({"target_ratio": "K"}, ("'K' for 'target_ratio'", "a positive number")),
        ({"loss": 0}, ("0 for 'loss'",)),
        ({"loss": float("nan")}, ("nan for 'loss'",)),
        ({"loss": float("inf")}, ("inf for 'loss'",)),
        ({"language": 2}, ("'language' is not a numeric column",)),
        ({"tokens": 2}, ("'tokens' is not a numeric column",)),
    ],
)
def test_bad_units(units: Any, parts: Any) -> None:
    with refused("<table>: units: ", *parts):
        RunTable.from_frame(frame(), units=units)


def test_a_unit_is_a_word_or_a_factor() -> None:
    with refused("units: expected units (words or factors) by name, got {'loss': True}"):
        RunTable.from_frame(frame(), units={"loss": True})


def test_units_of_an_absent_column() -> None:
    with refused("<table>: no column 'compute'"):
        RunTable.from_frame(frame(), units={"compute": 1e18})


@pytest.mark.parametrize(
    ("absent", "parts"),
    [
        ("n_params", ("no column 'n_params'", "'target_tokens'", "columns={'n_params'")),
        ("loss", ("no column 'loss'",)),
        ("epochs", ("no column 'epochs'", "'total_tokens' or 'compute'")),
        ("target_tokens", ("no column 'target_tokens'", "'total_tokens' or 'compute'")),
    ],
)
def test_missing_columns(absent: str, parts: Any) -> None:
    with refused("<table>: ", *parts):
        RunTable.from_frame(frame(**{absent: None}))


def test_missing_column_hints_at_a_close_match(tmp_path: Path) -> None:
    with refused("runs.csv: no column 'n_params'", "'Params'", "did you mean 'Params'?"):
        read(tmp_path, HEADER.replace("n_params", "Params"), *ROWS)


def test_duplicate_columns(tmp_path: Path) -> None:
    with refused("runs.csv", "found twice: 'loss'"):
        read(tmp_path, f"{HEADER},loss", f"{ROWS[0]},1")
    table = frame()
    with refused("<table>", "found twice: 'loss'"):
        RunTable.from_frame(pd.concat([table, table[["loss"]]], axis=1))


POSITIVE = ("n_params", "target_tokens", "epochs", "loss")

NUMERIC = (*POSITIVE, "target_ratio", "final_ratio", "first_ratio")


def with_cell(name: str, cell: str) -> list[str]:
    """The good rows with `cell` in column `name` of the second."""
    cells = ROWS[1].split(",")
    cells[HEADER.split(",").index(name)] = cell
    return [ROWS[0], ",".join(cells), ROWS[2]]


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("cell", ["0", "-1", "inf", "-inf", "nan", "NaN", "1e999"])
def test_positive_numbers(tmp_path: Path, name: str, cell: str) -> None:
    with refused(f"runs.csv, row 2, column '{name}': found '{cell}'", "a positive finite number"):
        read(tmp_path, HEADER, *with_cell(name, cell))


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("cell", ["", "  "])
def test_blank_required_cells(tmp_path: Path, name: str, cell: str) -> None:
    with refused(f"runs.csv, row 2, column '{name}': found a blank cell, expected a positive"):
        read(tmp_path, HEADER, *with_cell(name, cell))


@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("cell", ["many", '"1,000"', "1_000", "124G", "True", "0x10", "1 000"])
def test_text_in_numbers(tmp_path: Path, name: str, cell: str) -> None:
    literal = cell.strip('"')
    with refused(f"runs.csv, row 2, column '{name}': found '{literal}', expected a number"):
        read(tmp_path, HEADER, *with_cell(name, cell))


@pytest.mark.parametrize("cell", ["1e9", "1E+9", "1000000000", "1000000000.0", "+1e9", " 1e9 "])
def test_spellings_of_a_number(tmp_path: Path, cell: str) -> None:
    assert read(tmp_path, HEADER, *with_cell("n_params", cell)).recipe.n_params[1] == 1e9


@pytest.mark.parametrize(
    ("name", "cell", "parts"),
    [
        ("target_ratio", "1.01", ("column 'target_ratio'", "'1.01'", "0 < target_ratio <= 1")),
        ("target_ratio", "0", ("column 'target_ratio'", "'0'", "0 < target_ratio <= 1")),
        ("target_ratio", "-0.5", ("column 'target_ratio'", "'-0.5'")),
        ("target_ratio", "nan", ("column 'target_ratio'", "'nan'")),
        ("final_ratio", "1.01", ("column 'final_ratio'", "'1.01'", "final_ratio <= 1")),
        ("final_ratio", "0.4", ("'final_ratio', 'target_ratio'", "'0.4', '0.5'", "<= final_ratio")),
        ("final_ratio", "nan", ("column 'final_ratio'", "'nan'")),
        ("first_ratio", "0.6", ("'first_ratio', 'target_ratio'", "'0.6', '0.5'")),
        ("first_ratio", "-0.1", ("column 'first_ratio'", "'-0.1'", "0 <= first_ratio")),
    ],
)
def test_ratios_out_of_range(tmp_path: Path, name: str, cell: str, parts: Any) -> None:
    with refused("runs.csv, row 2, ", *parts):
        read(tmp_path, HEADER, *with_cell(name, cell))


@pytest.mark.parametrize(
    ("name", "cells", "found"),
    [
        ("epochs", [True, True, True], "row 1, column 'epochs': found True"),
        ("epochs", [1, 2, True], "row 3, column 'epochs': found True"),
        ("epochs", pd.array([True, False, None], dtype="boolean"), "row 1, column 'epochs'"),
        ("epochs", [1, [2], 3], "row 2, column 'epochs': found [2]"),
        ("epochs", [1, np.arange(2), 3], "row 2, column 'epochs': found [0 1]"),
        ("epochs", [1, None, 3], "row 2, column 'epochs': found a blank cell"),
        ("epochs", pd.array([1, None, 3], dtype="Int64"), "row 2, column 'epochs': found a blank"),
        ("epochs", pd.to_datetime(["2020-01-01"] * 3), "row 1, column 'epochs': found 2020"),
        ("epochs", np.array([1, 2, 10**400], dtype=object), "row 3, column 'epochs': found 1000"),
        ("loss", [1j, 1j, 1j], "row 1, column 'loss': found 1j"),
        ("weight", [1, -1, 1], "row 2, column 'weight': found -1, expected a finite number >= 0"),
        ("weight", [1, np.inf, 1], "row 2, column 'weight': found inf"),
        ("seed", [1, np.inf, 1], "row 2, column 'seed': found inf"),
        ("seed", [1, "x", 1], "row 2, column 'seed': found 'x'"),
        ("language", ["a", "", "b"], "row 2, column 'language': found a blank cell"),
        ("language", ["a", None, "b"], "row 2, column 'language': found a blank cell"),
        ("run_id", ["a", " ", "b"], "row 2, column 'run_id': found a blank cell"),
        ("run_id", [1.0, np.nan, 2.0], "row 2, column 'run_id': found a blank cell"),
        ("run_id", pd.array(["a", None, "b"], dtype="string"), "row 2, column 'run_id'"),
    ],
)
def test_bad_cells_of_frames(name: str, cells: Any, found: str) -> None:
    with refused(f"<table>, {found}"):
        RunTable.from_frame(frame(**{name: cells}))


@pytest.mark.parametrize("name", ["language", "run_id"])
def test_blank_text_cells(tmp_path: Path, name: str) -> None:
    with refused(f"runs.csv, row 2, column '{name}': found a blank cell, expected text"):
        read(tmp_path, f"{name},{HEADER}", f"a,{ROWS[0]}", f",{ROWS[1]}", f"b,{ROWS[2]}")


def test_json_booleans(tmp_path: Path) -> None:
    text = '{"n_params": 1, "target_tokens": 1, "epochs": true, "loss": 1}'
    with refused("runs.jsonl, row 1, column 'epochs': found True"):
        RunTable.read(write(tmp_path, text, "runs.jsonl"))


def test_errors_count_the_other_rows_and_say_how_rows_count() -> None:
    with refused("row 1, column 'loss'", "and 2 more rows", "Rows count from 1"):
        RunTable.from_frame(frame(loss=[-1, -1, -1]))
    with refused("row 2, column 'loss'", "and 1 more row like it"):
        RunTable.from_frame(frame(loss=[1, -1, -1]))


def test_every_language_needs_a_positive_weight() -> None:
    table = frame(language=["ja", "id", "ja"], weight=[1.0, 0.0, 0.0])
    with refused("<table>, language 'id', column 'weight'", "at least one positive"):
        RunTable.from_frame(table)


def test_empty_frame() -> None:
    with refused("<table>", "empty"):
        RunTable.from_frame(frame().iloc[:0])


def test_joined_columns_tell_runs_apart(tmp_path: Path) -> None:
    lines = ("model,sweep+lr,seed,n_params,total_tokens,loss", "s,0.1,1,1,1,3.0", "s,0.1,2,1,1,3.1")
    runs = read(tmp_path, *lines, columns={"run_id": "model + seed", "language": "sweep+lr"})
    assert runs.run_id.tolist() == ["s+1", "s+2"]
    assert runs.seed is not None
    assert runs.seed.tolist() == [1, 2]  # still read under its own name
    assert runs.languages == ("0.1",)  # a column of that very name is not taken apart


def test_joined_columns_of_frames_and_their_blanks() -> None:
    table = frame(model=[1.0, 2.0, 3.0], lr=[1e-3, 0.1, None])
    columns = {"run_id": "model+lr"}
    with refused("row 3, column 'model+lr' (run_id): found a blank cell, expected text"):
        RunTable.from_frame(table, columns=columns)
    runs = RunTable.from_frame(table, columns=columns, skip_incomplete=True)
    assert runs.run_id.tolist() == ["1+0.001", "2+0.1"]


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"run_id": "model+lrr"}, ("'model+lrr', of which 'lrr' is not", "did you mean 'lr'?")),
        ({"loss": "model+lr"}, ("'loss' is mapped to 'model+lr'", "only texts can be joined")),
        ({"los": "lr"}, ("unknown name 'los' (did you mean 'loss'?)",)),
    ],
)
def test_bad_joins(columns: dict[str, str], parts: Any) -> None:
    with refused("<table>: columns: ", *parts):
        RunTable.from_frame(frame(model=list("abc"), lr=[1, 2, 3]), columns=columns)


def test_a_missing_column_is_sought_inside_the_names() -> None:
    table = frame(loss=None).assign(**{"train/loss": 3.0, "eval/loss": 3.0})
    with refused("no column 'loss'", "(did you mean 'train/loss' or 'eval/loss'?)"):
        RunTable.from_frame(table)


@pytest.mark.parametrize(
    ("cell", "value"), [("115K", 115e3), ("1.2B", 1.2e9), ("2 billion", 2e9), (" 3 m ", 3e6)]
)
def test_counts_with_suffixes(tmp_path: Path, cell: str, value: float) -> None:
    assert read(tmp_path, HEADER, *with_cell("n_params", cell)).recipe.n_params[1] == value


def test_shares_in_percent(tmp_path: Path) -> None:
    rows = with_cell("target_ratio", "35%")
    assert read(tmp_path, HEADER, *rows).recipe.target_ratio[1] == 0.35
    for name in ("n_params", "loss", "epochs"):
        with refused(f"row 2, column '{name}': found '10%', expected a number, no share"):
            read(tmp_path, HEADER, *with_cell(name, "10%"))


def test_a_suffix_and_a_unit_are_one_too_many(tmp_path: Path) -> None:
    with refused("row 2, column 'n_params': found '12M', expected a number without a suffix"):
        read(tmp_path, HEADER, *with_cell("n_params", "12M"), units={"n_params": "M"})
    with refused("row 2, column 'target_ratio': found '35%'"):
        read(tmp_path, HEADER, *with_cell("target_ratio", "35%"), units={"target_ratio": 0.01})


def test_thousands_and_decimal_marks_are_said_or_named(tmp_path: Path) -> None:
    rows = with_cell("n_params", '"1,234,567"')
    with refused("row 2, column 'n_params': found '1,234,567'", "(thousands=',' would read it)"):
        read(tmp_path, HEADER, *rows)
    assert read(tmp_path, HEADER, *rows, thousands=",").recipe.n_params[1] == 1234567
    rows = with_cell("loss", '"2,915"')
    with refused("row 2, column 'loss': found '2,915'", "thousands=',' or decimal=','"):
        read(tmp_path, HEADER, *rows)
    assert read(tmp_path, HEADER, *rows, decimal=",").loss.tolist() == [3.0, 2.915, 2.8]
    with refused("thousands: expected ',' or '.'"):
        read(tmp_path, HEADER, *rows, thousands="-")


def test_decimal_commas_are_found_in_the_whole_table_and_said(tmp_path: Path) -> None:
    header = HEADER.replace(",", ";")
    rows = [row.replace(",", ";").replace(".", ",") for row in with_cell("loss", "2.915")]
    runs = read(tmp_path, header, *rows)
    assert runs.notes == (
        "columns are separated by semicolons",
        "numbers are read with decimal commas (as with decimal=',')",
    )
    assert runs.loss.tolist() == [3.0, 2.915, 2.8]
    # Once there are decimal commas, a point before three digits may stand for thousands.
    with refused("row 2, column 'n_params': found '115.008'", "decimal='.' or thousands='.'"):
        read(tmp_path, header, rows[0], rows[1].replace("1e6", "115.008"), rows[2])
    rows[1] = rows[1].replace("1e6", "115.008")
    assert read(tmp_path, header, *rows, thousands=".").recipe.n_params[1] == 115008


def test_perplexities_and_bits() -> None:
    nats = np.array([3.0, 2.9, 2.8])
    for unit in ("perplexity", "ppl"):
        runs = RunTable.from_frame(frame(loss=np.exp(nats)), units={"loss": unit})
        np.testing.assert_allclose(runs.loss, nats, rtol=1e-15)
    with refused("row 2, column 'loss': found 1.0, expected a perplexity above 1"):
        RunTable.from_frame(frame(loss=[2.0, 1.0, 3.0]), units={"loss": "ppl"})
    with refused("row 1, column 'loss': found -2.0, expected a perplexity above 1"):
        RunTable.from_frame(frame(loss=[-2.0, 2.0, 3.0]), units={"loss": "ppl"})
    bpb = {"units": {"loss": "bpb"}}
    table = frame(loss=nats / np.log(2) / 4)
    np.testing.assert_allclose(RunTable.from_frame(table, **bpb, bytes_per_token=4).loss, nats)
    table = frame(loss=[1.0, 1.0, 1.0], language=["ja", "id", "ja"])
    runs = RunTable.from_frame(table, **bpb, bytes_per_token={"id": 4, "ja": "3"})
    np.testing.assert_allclose(runs.loss, np.array([3, 4, 3]) * np.log(2))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"units": {"loss": "bpb"}}, ("'bpb' for 'loss' needs", "bytes_per_token=4.2")),
        ({"bytes_per_token": 4}, ("bytes_per_token: ", "units={'loss': 'bpb'}")),
        ({"units": {"loss": "bpb"}, "bytes_per_token": {"id": 4}}, ("no column 'language'",)),
    ],
)
def test_bytes_per_token_go_with_bits_a_byte(options: Any, parts: Any) -> None:
    with refused("<table>: ", *parts):
        RunTable.from_frame(frame(), **options)


def test_bytes_per_token_of_every_language() -> None:
    table = frame(language=["ja", "id", "ja"])
    with refused("bytes_per_token: no number for language 'ja', only for 'id'"):
        RunTable.from_frame(table, units={"loss": "bpb"}, bytes_per_token={"id": 4})
    with refused("bytes_per_token: expected a positive finite number"):
        RunTable.from_frame(table, units={"loss": "bpb"}, bytes_per_token=-4)


def test_compute_that_is_said_to_be_measured_may_be_anything() -> None:
    table = frame(total_tokens=[4e6, 8e6, 8e6], compute=[9e14, 1e12, 3e13])
    with refused("column", "compute in FLOP"):
        RunTable.from_frame(table)
    runs = RunTable.from_frame(table, units={"compute": "measured"})
    assert any("compute is 0.0208 to 37.5 times 6 *" in note for note in runs.notes)
    with refused("no column 'epochs' (or 'total_tokens'"):  # no 6·N·D to take lengths from
        RunTable.from_frame(frame(epochs=None, compute=9e14), units={"compute": "measured"})
