"""Comparisons that say which rows to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from m3jax.runs import RunTable

from .tables import frame, read, refused

HEADER = "n_params,target_tokens,epochs,loss,State,lr,a=b,eval<5>,Created"
ROWS = (
    "1,1,1,3.0,finished,1e-3,x,1,2026-01-09",
    "1,1,2,2.9,crashed,0.001,y,2,2026-02-10",
    "1,1,3,2.8, finished ,,x,3,2026-03-11",
    "1,1,4,2.7,,NaN,z,4,",
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("State=finished", [1, 3]),
        ("State = finished", [1, 3]),
        ("State==finished", [1, 3]),
        ("State!=finished", [2, 4]),
        ("State=", [4]),
        ("State!=", [1, 2, 3]),
        ("lr=0.001", [1, 2]),
        ("lr=1e-3", [1, 2]),
        ("lr!=0.001", [3, 4]),
        ("lr<=0.001", [1, 2]),
        ("lr>=0", [1, 2]),
        ("lr!=nan", [1, 2]),
        ("epochs<2", [1]),
        ("epochs>2.5", [3, 4]),
        ("loss>=2.9", [1, 2]),
        ("a=b=x", [1, 3]),
        ("a=b!=x", [2, 4]),
        ("eval<5><3", [1, 2]),
        ("eval<5>>=3", [3, 4]),
        ("Created>=2026-02", [2, 3]),
        (["State=finished", "epochs>1"], [3]),
    ],
)
def test_rows_of_which_it_holds(tmp_path: Path, where: Any, rows: list[int]) -> None:
    assert read(tmp_path, HEADER, *ROWS, where=where).row.tolist() == rows


@pytest.mark.parametrize(
    ("where", "parts"),
    [
        ("finished", ("found 'finished'", "expected COLUMN=VALUE")),
        ("state=finished", ("'state' is not among the columns", "did you mean 'State'?")),
        ("Stat=finished", ("'Stat' is not among", "did you mean 'State'?")),
        ("epochs>", ("found 'epochs>'", "expected a value")),
        ("State=finshed", ("4 of 4 rows left out (rows 1-4: column 'State' holds 'finished', "
                           "'crashed', ''",)),
    ],
)  # fmt: skip
def test_bad_conditions(tmp_path: Path, where: str, parts: Any) -> None:
    with refused("runs.csv: where", *parts):
        read(tmp_path, HEADER, *ROWS, where=where)


def test_a_word_is_not_compared_with_a_number(tmp_path: Path) -> None:
    with refused("runs.csv, row 1, column 'State': found 'finished'", "a number to compare with 5"):
        read(tmp_path, HEADER, *ROWS, where="State<5")
    with refused("runs.csv, row 1, column 'lr': found '1e-3', expected a text", "with 'small'"):
        read(tmp_path, HEADER, *ROWS, where="lr<small")


def test_mapped_columns_go_by_the_names_of_the_file() -> None:
    table = frame(loss=None, val_loss=[3.0, 2.9, 2.8])
    runs = RunTable.from_frame(table, columns={"loss": "val_loss"}, where="val_loss<3")
    assert runs.row.tolist() == [2, 3]
    with refused("where: 'loss' is not among the columns", "(it is 'val_loss' there)"):
        RunTable.from_frame(table, columns={"loss": "val_loss"}, where="loss<3")


@pytest.mark.parametrize("cells", [[True, False, True], ["true", "false", "true"]])
@pytest.mark.parametrize("word", ["true", "True"])
def test_true_and_false(cells: list[Any], word: str) -> None:
    table = frame(done=cells)
    assert RunTable.from_frame(table, where=f"done={word}").row.tolist() == [1, 3]
    assert RunTable.from_frame(table, where=f"done!={word}").row.tolist() == [2]


def test_whole_numbers_of_frames_with_blanks() -> None:
    table = frame(seed=pd.array([1, None, 3], dtype="Int64"), step=[10.0, float("inf"), 30.0])
    assert RunTable.from_frame(table, where="seed=1").row.tolist() == [1]
    assert RunTable.from_frame(table, where="step>10").row.tolist() == [2, 3]
    assert RunTable.from_frame(table, where="step=30").row.tolist() == [3]
