"""Files of each format: what is read from them, and which are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from m3jax.runs import RunTable

from .tables import HEADER, ROWS, frame, read, refused, same, write


@pytest.mark.parametrize("code", ["no", "NA", "nan", "null", "None", "N/A", "true"])
def test_language_codes_are_text(tmp_path: Path, code: str) -> None:
    lines = [f"{code},{row}" for row in ROWS]
    assert read(tmp_path, f"language,{HEADER}", *lines).languages == (code,)


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
         "loss": 2.9, "weight": None, "seed": None},
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


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("runs.csv", b"", ("runs.csv", "empty")),
        ("runs.csv", f"{HEADER}\n".encode(), ("runs.csv", "empty", "at least one row")),
        ("runs.csv", f"{HEADER}\n\n,,,\n".encode(), ("runs.csv", "empty", "at least one row")),
        (
            "runs.csv",
            f"{HEADER}\n{ROWS[0]},9\n".encode(),
            ("row 1: found 8 cells, expected 7 as",),
        ),
        ("runs.csv", f'{HEADER}\n{ROWS[0]}\n"1e6,1'.encode(), ("runs.csv", "truncated")),
        ("runs.csv", f"{HEADER},é\n{ROWS[0]},1\n".encode("latin-1"), ("runs.csv", "UTF-8")),
        ("runs.csv", f"{HEADER}\n{ROWS[0]}\n1e6,2e6".encode(), ("row 2: found 2 cells", "cut")),
        ("runs.csv", f"{HEADER}\n1e6\n{ROWS[0]}\n".encode(), ("row 1: found 1 cell, exp",)),
        ("runs.jsonl", b"", ("runs.jsonl", "empty")),
        ("runs.jsonl", b'{"loss": 1}\n{"loss": ', ("runs.jsonl, line 2", "not valid JSON")),
        ("runs.jsonl", b'{"loss": 1}\n\n[1, 2]', ("runs.jsonl, line 3", "[1, 2]", "an object")),
        (
            "runs.jsonl",
            b'{"loss": 1, "loss": 2}',
            ("runs.jsonl, line 1", "the key 'loss' is there twice"),
        ),
        ("runs.jsonl", b'{"loss": "\xe9"}', ("runs.jsonl", "UTF-8")),
        ("runs.parquet", b"PAR1 and then nothing", ("runs.parquet", "broken or truncated")),
        ("runs.parquet", b"", ("runs.parquet", "broken or truncated")),
        ("runs.ods", b"", ("runs.ods", "'.ods'", ".csv, .tsv, .json, .jsonl", ".xlsx", "save")),
        ("runs.csv.gz", b"n_params", ("runs.csv.gz: broken or truncated gzip",)),
        ("runs.txt.gz", b"", ("runs.txt.gz: unknown format '.txt.gz'",)),
        ("runs.json", b"{", ("runs.json: not valid JSON",)),
        ("runs.json", b'{"a": 1}', ("runs.json: expected a list of objects",)),
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
