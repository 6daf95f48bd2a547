"""One table in every format, as other programs write it: the same runs."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from m3jax.runs import RunTable

from ..conftest import call
from .tables import HEADER, ROWS, frame, read, refused, same, write

LANGUAGES = ["NA", "no", "日本"]
TABLE = frame(language=LANGUAGES, seed=[1, 2, 3])


def excel(path: Path, table: pd.DataFrame, **more: Any) -> None:
    pytest.importorskip("openpyxl", reason="pip install 'm3jax[excel]'")
    table.to_excel(path, index=False, **more)


WRITERS = {
    "runs.csv": lambda path: TABLE.to_csv(path, index=False),
    "runs.csv.gz": lambda path: TABLE.to_csv(path, index=False),
    "RUNS.CSV.GZ": lambda path: path.write_bytes(gzip.compress(TABLE.to_csv(index=False).encode())),
    "runs.v2.csv": lambda path: TABLE.to_csv(path, index=False),
    "runs.tsv": lambda path: TABLE.to_csv(path, index=False, sep="\t"),
    "runs.json": lambda path: TABLE.to_json(path, orient="records"),
    "excel.csv": lambda path: path.write_text("sep=;\n" + TABLE.to_csv(index=False, sep=";")),
    "pandas.json": lambda path: TABLE.to_json(path),
    "columns.json": lambda path: path.write_text(json.dumps(TABLE.to_dict(orient="list"))),
    "split.table.json": lambda path: TABLE.to_json(path, orient="split", index=False),
    "runs.jsonl": lambda path: TABLE.to_json(path, orient="records", lines=True),
    "runs.jsonl.gz": lambda path: TABLE.to_json(path, orient="records", lines=True),
    "runs.xlsx": lambda path: excel(path, TABLE),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_runs_in_every_format(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    runs = RunTable.read(tmp_path / name)
    same(runs, RunTable.from_frame(TABLE))
    assert runs.notes == (("columns are separated by semicolons",) if "excel" in name else ())


def test_the_same_runs_in_parquet_by_any_index(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for indexed in (TABLE, TABLE.set_index("language"), TABLE.set_index(["language", "seed"])):
        indexed.to_parquet(tmp_path / "runs.parquet")
        same(RunTable.read(tmp_path / "runs.parquet"), RunTable.from_frame(TABLE))


@pytest.mark.parametrize("name", ["runs.csv", "runs.tsv", "runs.json", "runs.jsonl", "runs.csv.gz"])
def test_standard_input(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS[name](tmp_path / name)
    content = (tmp_path / name).read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    same(RunTable.read("-"), RunTable.from_frame(TABLE))


def test_standard_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for content, words in ((b"", "standard input: the file is empty"),
                           (b"a,b\n1\n", "standard input, row 1: found 1 cell")):  # fmt: skip
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        assert words in call("fit", "-").err


@pytest.mark.parametrize(
    ("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
def test_other_separators_are_found_and_said(tmp_path: Path, separator: str, word: str) -> None:
    runs = read(tmp_path, *(line.replace(",", separator) for line in (HEADER, *ROWS)))
    assert runs.loss.tolist() == [3.0, 2.9, 2.8]
    assert runs.notes == (f"columns are separated by {word}",)


def test_commas_in_a_file_that_should_have_tabs_are_said(tmp_path: Path) -> None:
    runs = RunTable.read(write(tmp_path, "\n".join([HEADER, *ROWS]), "runs.tsv"))
    assert runs.notes == ("columns are separated by commas",)


def test_a_quoted_comma_in_a_header_separates_nothing(tmp_path: Path) -> None:
    header = HEADER.replace(",", ";").replace("loss", '"loss, nats"')
    rows = [row.replace(",", ";") for row in ROWS]
    assert read(tmp_path, header, *rows, columns={"loss": "loss, nats"}).loss[0] == 3.0


def test_text_of_excel_in_utf_16(tmp_path: Path) -> None:
    text = TABLE.to_csv(index=False, sep="\t", lineterminator="\r\n")
    (tmp_path / "runs.tsv").write_bytes(text.encode("utf-16"))
    same(RunTable.read(tmp_path / "runs.tsv"), RunTable.from_frame(TABLE))


def test_other_bytes_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes("language\nen\nFrançais\n".encode("latin-1"))
    with refused("runs.csv, line 3: expected UTF-8 text, found the byte 0xe7", "iconv"):
        RunTable.read(tmp_path / "runs.csv")


@pytest.mark.parametrize(
    ("end", "parts"),
    [
        ("1e6,2e6,2,0.5,0.5", ("row 2: found 5 cells, expected 7", "cut short?")),
        ("1e6,2e6,2,0.5,0.5\n", ("row 2: found 5 cells, expected 7",)),
        ("1e6,2e6,2,0.5,0.5,0.5,", ("row 2, column 'loss': the file ends before this cell",)),
        ('1e6,2e6,2,0.5,0.5,"0.', ("truncated",)),
    ],
)
def test_a_last_line_that_is_cut(tmp_path: Path, end: str, parts: Any) -> None:
    with refused("runs.csv", *parts):
        RunTable.read(write(tmp_path, f"{HEADER}\n{ROWS[0]}\n{end}"))


def test_a_last_line_needs_no_end(tmp_path: Path) -> None:
    text = f"{HEADER},seed\n" + "\n".join(f"{row}," for row in ROWS)
    assert len(RunTable.read(write(tmp_path, text))) == 3


def test_a_record_without_a_key_that_others_have(tmp_path: Path) -> None:
    records = TABLE.to_dict(orient="records")
    del records[1]["seed"]
    text = "\n".join(map(json.dumps, records))
    with refused("runs.jsonl, line 2: no key 'seed', which others have (line 3)", "null"):
        RunTable.read(write(tmp_path, text, "runs.jsonl"))
    with refused("runs.json, row 2: no key 'seed', which others have (row 3)"):
        RunTable.read(write(tmp_path, json.dumps(records), "runs.json"))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"a": [1, 2], "b": [1]}, "expected columns of one length"),
        ({"a": {"0": 1}, "b": {"1": 1}}, "expected the same rows in every column"),
        ({"columns": ["a", "b"], "data": [[1, 2], [3]]}, "row 2: found 1 cells, expected 2"),
        ({"columns": "a", "data": [[1]]}, "expected a list of objects"),
        ([1, 2], "expected a list of objects"),
        ({}, "the table is empty"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, document: Any, words: str) -> None:
    with refused("runs.json", words):
        RunTable.read(write(tmp_path, json.dumps(document), "runs.json"))


def test_workbooks_as_people_have_them(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="pip install 'm3jax[excel]'")
    path = tmp_path / "runs.xlsx"
    excel(path, TABLE, sheet_name="runs")
    book = openpyxl.load_workbook(io.BytesIO(path.read_bytes()))  # by path, old ones never close it
    sheet = book["runs"]
    sheet.insert_rows(1)  # a blank row above the header, one within, and a cell once used
    sheet.insert_rows(4)
    sheet.cell(row=3, column=9).value = None
    book.create_sheet("notes")
    book.save(path)
    runs = RunTable.read(path)
    assert runs.row.tolist() == [1, 3, 4]
    assert runs.loss.tolist() == [3.0, 2.9, 2.8]
    assert runs.notes == ("sheet 'runs' is read, not notes",)
    with refused("row 3, column 'loss': found 'x'"):
        sheet.cell(row=5, column=5).value = "x"
        book.save(path)
        RunTable.read(path)


def test_broken_workbooks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="pip install 'm3jax[excel]'")
    (tmp_path / "runs.xlsx").write_bytes(b"PK\x03\x04")
    with refused("runs.xlsx: broken or truncated Excel file"):
        RunTable.read(tmp_path / "runs.xlsx")
    openpyxl.Workbook().save(tmp_path / "runs.xlsx")
    with refused("runs.xlsx: the first sheet is empty"):
        RunTable.read(tmp_path / "runs.xlsx")


def test_workbooks_need_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with refused("runs.xlsx", "m3jax[excel]", ".csv"):
        RunTable.read(write(tmp_path, "", "runs.xlsx"))
