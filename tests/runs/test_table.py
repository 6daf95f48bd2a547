"""The run table: what it reads, what it refuses and in which words, and how it is batched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import m3jax
from m3jax import M3Error
from m3jax.runs import RunBatch, RunTable

TINY = Path(m3jax.__file__).parent / "data" / "tiny_two_stage.csv"
HEADER = "n_params,target_tokens,epochs,target_ratio,final_ratio,first_ratio,loss"
ROWS = ["1e6,1e6,2,0.5,0.5,0.5,3.0", "1e6,2e6,2,0.5,1.0,0.1,2.9", "2e6,2e6,4,1,1,1,2.8"]


def write(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, *lines: str, **options: Any) -> RunTable:
    return RunTable.read(write(folder, "\n".join(lines) + "\n"), **options)


def frame(**changes: Any) -> pd.DataFrame:
    """Three good runs, with columns replaced, added, or (None) left out."""
    columns: dict[str, Any] = {
        "n_params": [1e6, 1e6, 2e6],
        "target_tokens": [1e6, 2e6, 2e6],
        "epochs": [2.0, 2.0, 4.0],
        "target_ratio": [0.5, 0.5, 1.0],
        "loss": [3.0, 2.9, 2.8],
    }
    columns.update(changes)
    return pd.DataFrame({name: cells for name, cells in columns.items() if cells is not None})


def refused(*parts: str) -> Any:
    """Expect an `M3Error` whose message has all `parts`, in this order."""
    return pytest.raises(M3Error, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def same(one: RunTable, other: RunTable) -> None:
    np.testing.assert_array_equal(one.language, other.language)
    np.testing.assert_array_equal(one.run_id, other.run_id)
    np.testing.assert_array_equal(one.loss, other.loss)
    np.testing.assert_array_equal(one.weight, other.weight)
    for left, right in zip(jax.tree.leaves(one.recipe), jax.tree.leaves(other.recipe), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (one.seed is None) == (other.seed is None)
    if one.seed is not None:
        np.testing.assert_array_equal(one.seed, other.seed)


# Reading


def test_reads_all_columns_and_fills_defaults(tmp_path: Path) -> None:
    runs = read(tmp_path, HEADER, *ROWS)
    assert len(runs) == 3
    assert runs.source == "runs.csv"
    assert runs.languages == ("all",)
    assert runs.run_id.tolist() == ["1", "2", "3"]
    assert runs.row.tolist() == [1, 2, 3]
    assert runs.seed is None
    assert runs.notes == ()
    np.testing.assert_array_equal(runs.weight, 1.0)
    np.testing.assert_array_equal(runs.recipe.n_params, [1e6, 1e6, 2e6])
    np.testing.assert_array_equal(runs.recipe.final_ratio, [0.5, 1.0, 1.0])
    np.testing.assert_array_equal(runs.recipe.first_ratio, [0.5, 0.1, 1.0])
    assert {leaf.dtype for leaf in jax.tree.leaves(runs.recipe)} == {np.dtype(np.float64)}


def test_ratio_defaults() -> None:
    runs = RunTable.from_frame(frame(final_ratio=[0.5, 1.0, 1.0]))
    np.testing.assert_array_equal(runs.recipe.first_ratio, [0.5, 0.0, 1.0])
    runs = RunTable.from_frame(frame())
    np.testing.assert_array_equal(runs.recipe.final_ratio, [0.5, 0.5, 1.0])
    runs = RunTable.from_frame(frame(target_ratio=None))
    np.testing.assert_array_equal(runs.recipe.target_ratio, 1.0)


def test_blank_cells_of_optional_columns_take_the_default(tmp_path: Path) -> None:
    runs = read(
        tmp_path,
        HEADER + ",weight,seed",
        "1e6,1e6,2,0.5,,,3.0,,7",
        "1e6,2e6,2,0.5,1.0,,2.9,2,",
        "2e6,2e6,4,,,,2.8,0,nan",
    )
    np.testing.assert_array_equal(runs.recipe.target_ratio, [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(runs.recipe.final_ratio, [0.5, 1.0, 1.0])
    np.testing.assert_array_equal(runs.recipe.first_ratio, [0.5, 0.0, 1.0])
    np.testing.assert_array_equal(runs.weight, [1.0, 2.0, 0.0])
    np.testing.assert_array_equal(runs.seed, [7.0, np.nan, np.nan])


def test_ratios_tolerate_rounding() -> None:
    off = 1e-10
    runs = RunTable.from_frame(
        frame(
            target_ratio=[0.5, 0.5, 1 + off],
            final_ratio=[0.5 - off / 4, 1 + off, 1 - off],
            first_ratio=[0.5 + off / 4, 0.1, 1 + off],
        )
    )
    np.testing.assert_array_equal(runs.recipe.target_ratio, [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(runs.recipe.final_ratio, [0.5, 1.0, 1.0])
    np.testing.assert_array_equal(runs.recipe.first_ratio, [0.5, 0.1, 1.0])


@pytest.mark.parametrize("code", ["no", "NA", "nan", "null", "None", "N/A", "true"])
def test_language_codes_are_text(tmp_path: Path, code: str) -> None:
    lines = [f"{code},{row}" for row in ROWS]
    assert read(tmp_path, f"language,{HEADER}", *lines).languages == (code,)


def test_run_ids_keep_their_text(tmp_path: Path) -> None:
    runs = read(tmp_path, f"run_id,{HEADER}", f"3,{ROWS[0]}", f"007,{ROWS[1]}", f" x ,{ROWS[2]}")
    assert runs.run_id.tolist() == ["3", "007", "x"]


@pytest.mark.parametrize("ids", [[1, 2, 3], [1.0, 2.0, 3.0], ["1", "2", "3"]])
def test_run_ids_of_frames(ids: list[Any]) -> None:
    assert RunTable.from_frame(frame(run_id=ids)).run_id.tolist() == ["1", "2", "3"]


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    lines = [f"{row},text,," for row in ROWS]
    assert len(read(tmp_path, f"{HEADER},note,,", *lines)) == 3


def test_blank_lines_count_as_rows_but_are_not_runs(tmp_path: Path) -> None:
    runs = read(tmp_path, HEADER, ROWS[0], "", ROWS[1], ",,,,,,", ROWS[2], "", "")
    assert runs.row.tolist() == [1, 3, 5]
    with refused("runs.csv, row 3, column 'loss'"):
        read(tmp_path, HEADER, ROWS[0], "", "1e6,2e6,2,0.5,1.0,0.1,x")


def test_byte_order_mark_and_spaces(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER.replace(",", " , ") + "\n" + ROWS[0].replace(",", " , ") + "\n"
    assert len(RunTable.read(write(tmp_path, text))) == 1


def test_json_lines(tmp_path: Path) -> None:
    records = [
        {"language": "no", "run_id": 3, "n_params": 1e6, "target_tokens": 10**6, "epochs": 2,
         "loss": 3.0, "weight": None, "seed": 1},
        {"language": "NA", "run_id": "b", "n_params": 1e6, "target_tokens": "2e6", "epochs": 1,
         "loss": 2.9},
    ]  # fmt: skip
    text = "\n\n".join(json.dumps(record) for record in records) + "\n"
    for name in ("runs.jsonl", "runs.ndjson", "RUNS.JSONL"):
        runs = RunTable.read(write(tmp_path, text, name))
        assert runs.languages == ("no", "NA")
        assert runs.run_id.tolist() == ["3", "b"]
        assert runs.row.tolist() == [1, 3]
        np.testing.assert_array_equal(runs.recipe.target_tokens, [1e6, 2e6])
        np.testing.assert_array_equal(runs.weight, 1.0)
        np.testing.assert_array_equal(runs.seed, [1.0, np.nan])


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "runs.parquet"
    table = frame(language=["no", "no", "NA"], seed=pd.array([1, None, 2], dtype="Int64"))
    table.to_parquet(path)
    same(RunTable.read(path), RunTable.from_frame(table))
    with refused("runs.parquet, row 2, column 'loss': found -1.0"):
        frame(loss=[1.0, -1.0, 1.0]).to_parquet(path)
        RunTable.read(path)


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with refused("runs.parquet", "m3jax[parquet]"):
        RunTable.read(write(tmp_path, "", "runs.parquet"))


def test_import_does_not_load_pandas() -> None:
    code = "import sys, m3jax.runs; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Files that cannot be read


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("runs.csv", b"", ("runs.csv", "empty")),
        ("runs.csv", f"{HEADER}\n".encode(), ("runs.csv", "empty", "at least one row")),
        ("runs.csv", f"{HEADER}\n\n,,,\n".encode(), ("runs.csv", "empty", "at least one row")),
        ("runs.csv", f"{HEADER}\n{ROWS[0]},9\n".encode(), ("runs.csv", "broken", "line 2")),
        ("runs.csv", f'{HEADER}\n{ROWS[0]}\n"1e6,1'.encode(), ("runs.csv", "truncated")),
        ("runs.csv", f"{HEADER},é\n{ROWS[0]},1\n".encode("latin-1"), ("runs.csv", "UTF-8")),
        ("runs.csv", f"{HEADER}\n{ROWS[0]}\n1e6,2e6".encode(), ("row 2, column 'epochs'", "blank")),
        ("runs.jsonl", b"", ("runs.jsonl", "empty")),
        ("runs.jsonl", b'{"loss": 1}\n{"loss": ', ("runs.jsonl, line 2", "broken JSON")),
        ("runs.jsonl", b'{"loss": 1}\n\n[1, 2]', ("runs.jsonl, line 3", "[1, 2]", "an object")),
        ("runs.jsonl", b'{"loss": 1, "loss": 2}', ("runs.jsonl, line 1", "same key", "'loss'")),
        ("runs.jsonl", b'{"loss": "\xe9"}', ("runs.jsonl", "UTF-8")),
        ("runs.parquet", b"PAR1 and then nothing", ("runs.parquet", "broken or truncated")),
        ("runs.parquet", b"", ("runs.parquet", "broken or truncated")),
        ("runs.xlsx", b"", ("runs.xlsx", "'.xlsx'", ".csv, .jsonl, .ndjson, .parquet")),
        ("runs", b"", ("runs", "''", ".csv")),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, parts: Any) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with refused(*parts):
        RunTable.read(tmp_path / name)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_missing_files_and_folders(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    with refused(f"none.{suffix}", "No such file"):
        RunTable.read(tmp_path / f"none.{suffix}")
    (tmp_path / f"folder.{suffix}").mkdir()
    with refused(f"folder.{suffix}"):
        RunTable.read(tmp_path / f"folder.{suffix}")


# Columns and units


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
        ({"loss": True}, ("True for 'loss'",)),
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
    with refused("runs.csv: no column 'n_params'", "n_params;loss"):
        read(tmp_path, "n_params;loss", "1;2")


def test_duplicate_columns(tmp_path: Path) -> None:
    with refused("runs.csv", "found twice: 'loss'"):
        read(tmp_path, f"{HEADER},loss", f"{ROWS[0]},1")
    table = frame()
    with refused("<table>", "found twice: 'loss'"):
        RunTable.from_frame(pd.concat([table, table[["loss"]]], axis=1))


# Cells


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
@pytest.mark.parametrize("cell", ["many", '"1,000"', "1_000", "124M", "True", "0x10", "1 000"])
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


def test_final_ratio_without_target_ratio() -> None:
    with refused("row 1, column 'final_ratio': found 0.5, expected target_ratio (1 if not given)"):
        RunTable.from_frame(frame(target_ratio=None, final_ratio=0.5))


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


# Lengths: target_tokens, epochs, total_tokens, compute

TOTAL = np.array([4e6, 8e6, 8e6])
COMPUTE = 6 * np.array([1e6, 1e6, 2e6]) * TOTAL


@pytest.mark.parametrize("given", [{"total_tokens": TOTAL}, {"compute": COMPUTE}])
@pytest.mark.parametrize("absent", ["epochs", "target_tokens"])
def test_total_tokens_or_compute_stand_in(given: dict[str, Any], absent: str) -> None:
    runs = RunTable.from_frame(frame(**{absent: None}, **given))
    full = RunTable.from_frame(frame())
    np.testing.assert_allclose(runs.recipe.epochs, full.recipe.epochs, rtol=1e-14)
    np.testing.assert_allclose(runs.recipe.target_tokens, full.recipe.target_tokens, rtol=1e-14)
    assert runs.notes == ()


@pytest.mark.parametrize("given", [{"total_tokens": TOTAL}, {"compute": COMPUTE}])
def test_one_epoch_over_unique_text(given: dict[str, Any]) -> None:
    runs = RunTable.from_frame(frame(epochs=None, target_tokens=None, **given))
    np.testing.assert_allclose(runs.recipe.target_tokens, [2e6, 4e6, 8e6], rtol=1e-14)
    np.testing.assert_array_equal(runs.recipe.epochs, 1.0)
    assert len(runs.notes) == 1
    assert "one epoch over unique text" in runs.notes[0]


def test_consistent_lengths_are_accepted() -> None:
    table = frame(total_tokens=TOTAL * 1.009, compute=COMPUTE)
    same(RunTable.from_frame(table), RunTable.from_frame(frame()))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"total_tokens": TOTAL * [1, 1.02, 1]}, "'epochs', 'target_ratio', 'total_tokens'"),
        ({"compute": COMPUTE * [1, 0.98, 1]}, "'epochs', 'target_ratio', 'compute'"),
        (
            {"epochs": None, "total_tokens": TOTAL, "compute": COMPUTE * [1, 2, 1]},
            "'n_params', 'total_tokens', 'compute'",
        ),
    ],
)
def test_contradicting_lengths(changes: dict[str, Any], names: str) -> None:
    with refused("<table>, row 2, columns", names, "found", "to within 1%"):
        RunTable.from_frame(frame(**changes))


def test_blank_lengths_matter_only_where_needed() -> None:
    blank = [4e6, np.nan, 8e6]
    same(RunTable.from_frame(frame(total_tokens=blank)), RunTable.from_frame(frame()))
    filled = frame(epochs=None, total_tokens=blank, compute=COMPUTE)
    np.testing.assert_allclose(RunTable.from_frame(filled).recipe.epochs, [2.0, 2.0, 4.0])
    with refused("row 2, column 'total_tokens': found a blank cell"):
        RunTable.from_frame(frame(epochs=None, total_tokens=blank))


# Repeats


def test_equal_rows_with_different_losses(tmp_path: Path) -> None:
    again = ROWS[0].replace("3.0", "3.1")
    with refused("runs.csv, rows 1 and 3, column 'loss'", "3 and 3.1", "'seed' or 'run_id'"):
        read(tmp_path, HEADER, ROWS[0], ROWS[1], again)
    with refused("rows 1 and 2", "and 1 more row"):
        read(tmp_path, HEADER, ROWS[0], again, ROWS[0].replace("3.0", "3.2"))
    # Blank seeds tell nothing apart.
    with refused("rows 1 and 2"):
        read(tmp_path, f"seed,{HEADER}", f",{ROWS[0]}", f",{again}")


@pytest.mark.parametrize("name", ["seed", "run_id", "language"])
def test_repeats_that_are_told_apart(tmp_path: Path, name: str) -> None:
    again = ROWS[0].replace("3.0", "3.1")
    runs = read(tmp_path, f"{name},{HEADER}", f"1,{ROWS[0]}", f"2,{again}")
    assert len(runs) == 2
    assert runs.notes == ()


def test_exact_duplicates_are_kept_and_counted(tmp_path: Path) -> None:
    runs = read(tmp_path, HEADER, ROWS[0], ROWS[1], ROWS[0], ROWS[0])
    assert len(runs) == 4
    assert runs.notes == ("2 exact duplicate rows kept (same run, same loss)",)


def test_checkpoints_of_one_run_are_fine() -> None:
    runs = RunTable.from_frame(frame(run_id=["a", "a", "b"]))
    assert runs.batch().cluster[0, :3].tolist() == [0, 0, 1]


# Methods


@pytest.fixture
def tiny() -> RunTable:
    return RunTable.read(TINY)


def test_select_and_for_language(tiny: RunTable) -> None:
    japanese = tiny.for_language("Japanese")
    assert japanese.languages == ("Japanese",)
    assert len(japanese) == np.sum(tiny.language == "Japanese")
    assert japanese.row.tolist() == (np.flatnonzero(tiny.language == "Japanese") + 1).tolist()
    assert japanese.recipe.n_params.shape == japanese.loss.shape == japanese.seed.shape
    assert len(tiny.select(np.zeros(len(tiny), dtype=bool))) == 0
    with refused("tiny_two_stage.csv: no language 'Welsh'", "'Japanese', 'Indonesian'"):
        tiny.for_language("Welsh")


@pytest.mark.parametrize("mask", [[True], [0, 1, 2], [[True] * 3], [1.0, 0.0, 1.0]])
def test_select_wants_a_boolean_mask(mask: Any) -> None:
    with refused("select: expected a boolean mask of shape (3,)"):
        RunTable.from_frame(frame()).select(mask)


def test_drop_highest() -> None:
    runs = RunTable.from_frame(frame(loss=[3.0, 5.0, 4.0]))
    left = runs.drop_highest(2)
    assert left.loss.tolist() == [3.0]
    assert left.notes == ("2 runs with the highest loss dropped (loss 4 and above)",)
    assert runs.drop_highest(0) is runs
    for count in (-1, 3, 4):
        with refused("<table>: drop_highest: expected 0 to 2", f"got {count}"):
            runs.drop_highest(count)


def test_frame_round_trip(tiny: RunTable, tmp_path: Path) -> None:
    same(RunTable.from_frame(tiny.to_frame()), tiny)
    tiny.to_frame().to_csv(tmp_path / "again.csv", index=False)
    same(RunTable.read(tmp_path / "again.csv"), tiny)
    plain = RunTable.from_frame(frame())
    same(RunTable.from_frame(plain.to_frame()), plain)
    assert "seed" not in plain.to_frame()


# Batches


def many(counts: dict[str, int]) -> RunTable:
    languages = [name for name, count in counts.items() for _ in range(count)]
    n = len(languages)
    return RunTable.from_frame(
        pd.DataFrame(
            {
                "language": languages,
                "n_params": 1e6 + np.arange(n),
                "target_tokens": 1e6,
                "epochs": 1.0,
                "loss": 2.0 + np.arange(n),
                "weight": 2.0,
            }
        ).sample(frac=1, random_state=0)
    )


def test_batch_pads_with_the_first_run() -> None:
    runs = many({"a": 3, "b": 9})
    batch = runs.batch(languages=["a", "b"])
    assert batch.languages == ("a", "b")
    for leaf in jax.tree.leaves(batch):
        assert leaf.shape == (2, 12)
    assert batch.mask.sum(axis=1).tolist() == [3, 9]
    assert batch.cluster.dtype == np.int32
    assert batch.mask.dtype == np.bool_
    for i, name in enumerate(batch.languages):
        own, mask = runs.for_language(name), batch.mask[i]
        np.testing.assert_array_equal(batch.loss[i, mask], own.loss)
        np.testing.assert_array_equal(batch.recipe.n_params[i, mask], own.recipe.n_params)
        np.testing.assert_array_equal(batch.loss[i, ~mask], own.loss[0])
        np.testing.assert_array_equal(batch.recipe.n_params[i, ~mask], own.recipe.n_params[0])
        np.testing.assert_array_equal(batch.weight[i], np.where(mask, 2.0, 0.0))
        np.testing.assert_array_equal(batch.cluster[i, mask], np.arange(len(own)))


@pytest.mark.parametrize(
    ("count", "width"), [(1, 8), (8, 8), (9, 12), (13, 16), (17, 20), (100, 112), (129, 160)]
)
def test_batch_widths(count: int, width: int) -> None:
    assert many({"a": count}).batch().loss.shape == (1, width)


def test_clusters_count_within_a_language() -> None:
    table = pd.concat([frame(language="b"), frame(language="a")], ignore_index=True)
    table["run_id"] = ["y", "x", "y", "x", "z", "x"]
    batch = RunTable.from_frame(table).batch()
    assert batch.languages == ("b", "a")
    assert batch.cluster[:, :3].tolist() == [[0, 1, 0], [0, 1, 0]]


def test_batch_of_some_languages() -> None:
    runs = many({"a": 3, "b": 9, "c": 4})
    batch = runs.batch(languages=["c", "a"])
    assert batch.languages == ("c", "a")
    np.testing.assert_array_equal(batch.loss[0, :4], runs.for_language("c").loss)
    assert batch.loss.shape == (2, 8)
    with refused("no language 'd'", "'a'"):
        runs.batch(languages=["d"])
    for names in ([], ["a", "a"]):
        with refused("batch: expected each language once"):
            runs.batch(languages=names)
    with refused("batch: expected each language once, got []"):
        runs.select(np.zeros(len(runs), dtype=bool)).batch()


def test_batch_is_a_pytree() -> None:
    batch = many({"a": 3, "b": 4}).batch()
    assert len(jax.tree.leaves(batch)) == 10
    doubled = jax.tree.map(lambda leaf: leaf[:, :2], batch)
    assert isinstance(doubled, RunBatch)
    assert doubled.languages == ("a", "b") or doubled.languages == ("b", "a")
    assert jax.jit(lambda value: value.loss.sum())(batch).shape == ()


# Real tables


def test_tiny_two_stage(tiny: RunTable) -> None:
    assert len(tiny) == 172
    assert sorted(tiny.languages) == ["Indonesian", "Japanese"]
    assert tiny.recipe.is_two_stage.sum() == 63
    assert tiny.notes == ()


def test_muennighoff(shared_data: Path) -> None:
    runs = RunTable.read(
        shared_data / "muennighoff" / "fit_182.csv",
        columns={"n_params": "params", "target_tokens": "unique_tokens", "loss": "val_loss"},
    )
    assert len(runs) == 182
    assert runs.languages == ("all",)
    assert runs.batch().loss.shape == (1, 192)


def test_chinchilla(shared_data: Path) -> None:
    runs = RunTable.read(shared_data / "chinchilla" / "runs_245.csv")
    assert len(runs) == 245
    assert "one epoch" in runs.notes[0]
    left = runs.drop_highest(5)
    assert len(left) == 240
    assert len(left.notes) == 2
    assert left.loss.max() <= np.sort(runs.loss)[-6]
    compute = pd.read_csv(shared_data / "chinchilla" / "runs_245.csv")["compute"]
    np.testing.assert_allclose(runs.recipe.compute, compute, rtol=1e-12)


def test_repeat_aware(shared_data: Path) -> None:
    path = shared_data / "repeat_aware" / "runs_wikipedia.csv"
    runs = RunTable.read(
        path,
        columns={
            "n_params": "params_nominal",
            "target_tokens": "hq_unique_tokens_approx",
            "target_ratio": "r_target",
            "loss": "hq_val_loss",
        },
    )
    assert len(runs) == 54
    epochs = pd.read_csv(path)["epochs_on_target_approx"]
    np.testing.assert_allclose(runs.recipe.epochs, epochs, rtol=1e-6)
