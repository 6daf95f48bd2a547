"""Rows that are left out on request: which, in what order, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from m3jax.runs import RunTable

from .tables import frame, read, refused, write

# An export as trackers write them: other names, a crashed run, a header of a group, a step 0.
EXPORT = """\
Name,State,lang,size,text,passes,share,eval/loss,lr,tags
a,finished,id,1e6,1e6,2,0.5,3.0,0.001,"x, y"
b,crashed,id,1e6,1e6,4,0.5,NaN,0.001,
,,,2e6,,,,,,
c,finished,id,2e6,1e6,2,0.5,2.9,1e-2,x
c,finished,id,2e6,1e6,4,0.5,Infinity,1e-2,x
d,failed,ja,1e6,1e6,0,0.5,9.1,0.1,
e,finished,ja,1e6,1e6,2,0,3.2,0.1,z
f,finished,ja,1e6,1e6,2,1,3.1,0.1,z
"""
COLUMNS = {
    "run_id": "Name",
    "language": "lang",
    "n_params": "size",
    "target_tokens": "text",
    "epochs": "passes",
    "target_ratio": "share",
    "loss": "eval/loss",
}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path, EXPORT, "export.csv")


def test_without_options_the_table_is_refused(export: Path) -> None:
    with refused("export.csv, row 7, column 'share' (target_ratio): found '0'"):
        RunTable.read(export, columns=COLUMNS)
    with refused("export.csv, row 3, column 'text' (target_tokens): found a blank cell",
                 "skip_incomplete=True leaves out rows without"):  # fmt: skip
        RunTable.read(export, columns=COLUMNS, where="share!=0")


def test_incomplete_rows_are_left_out_and_told(export: Path) -> None:
    runs = RunTable.read(export, columns=COLUMNS, skip_incomplete=True)
    assert runs.row.tolist() == [1, 4, 8]
    assert runs.notes == (
        "skip_incomplete: 5 of 8 rows left out (row 3: 'lang' is blank; rows 2, 5: 'eval/loss' is"
        " not a finite number; row 7: 'share' is 0; row 6: 'passes' is 0)",
    )
    assert runs.reading == {"columns": COLUMNS, "skip_incomplete": True}


def test_cells_that_are_no_numbers_are_not_incomplete(tmp_path: Path) -> None:
    for cell, name in (("many", "loss"), ("-1", "loss"), ("soon", "epochs")):
        table = frame(**{name: ["1", cell, "2"]})
        with refused(f"row 2, column '{name}': found '{cell}'"):
            RunTable.from_frame(table, skip_incomplete=True)


def test_a_row_needs_one_of_the_totals_not_both() -> None:
    table = frame(
        target_tokens=None,
        epochs=None,
        target_ratio=None,
        total_tokens=[1e9, np.nan, np.nan],
        compute=[np.nan, 1e16, np.nan],
    )
    runs = RunTable.from_frame(table, skip_incomplete=True)
    assert runs.row.tolist() == [1, 2]
    assert "row 3: 'total_tokens' and 'compute' not a finite number" in runs.notes[0]


@pytest.mark.parametrize("loss", ["", "NaN", "inf"])
def test_rows_of_weight_0_need_no_loss(tmp_path: Path, loss: str) -> None:
    header = "language,n_params,target_tokens,epochs,loss,weight"
    rows = ["id,1,1,1,2,1", f"id,1,1,2,{loss},0", "id,1,1,3,2,0"]
    runs = read(tmp_path, header, *rows)
    assert runs.row.tolist() == [1, 3]
    assert runs.notes[0] == "neither weight nor loss: 1 of 3 rows left out (row 2)"
    with refused("language 'ja', column 'weight'", "only weights of 0"):
        read(tmp_path, header, *rows, f"ja,1,1,1,{loss},0")
    with refused("row 2, column 'loss'", "expected a positive finite number"):
        read(tmp_path, header, rows[0], f"id,1,1,2,{loss},1")


def test_the_highest_losses_go_before_losses_are_checked(export: Path) -> None:
    finished = {"columns": COLUMNS, "where": ["Name!=", "passes>0", "share>0"]}
    with refused("column 'eval/loss'"):
        RunTable.read(export, drop_highest=1, **finished)
    runs = RunTable.read(export, drop_highest=2, **finished)
    assert runs.row.tolist() == [1, 4, 8]
    assert runs.notes[-1] == (
        "drop_highest: 2 of 5 rows left out (rows 2, 5: 'eval/loss' is not a finite number)"
    )
    runs = RunTable.read(export, drop_highest=3, **finished)
    assert "rows 2, 5, 8: 'eval/loss' of 3.1 and above" in runs.notes[-2]
    assert runs.notes[-1] == "no row is left of language 'ja'"
    with refused("export.csv: drop_highest: expected 0 to 4 runs to drop out of 5, got 5"):
        RunTable.read(export, drop_highest=5, **finished)
    with refused("drop_highest: expected a whole number >= 0, got -1"):
        RunTable.read(export, drop_highest=-1)


def test_losses_that_are_words_are_not_the_highest(tmp_path: Path) -> None:
    with refused("runs.csv, row 2, column 'loss': found 'oops', expected a number"):
        read(tmp_path, "n_params,total_tokens,loss", "1,2,3", "1,3,oops", drop_highest=1)


def sweep(**changes: Any) -> pd.DataFrame:
    """Two recipes at three learning rates, the second best twice."""
    cells = {
        "n_params": [1e6, 1e6, 1e6, 2e6, 2e6, 2e6],
        "total_tokens": [1e9] * 6,
        "lr": [1e-3, 1e-2, 1e-1] * 2,
        "loss": [3.1, 3.0, np.nan, 2.8, 2.8, 5.0],
    }
    return pd.DataFrame({**cells, **changes})


def test_the_best_of_each_recipe(tmp_path: Path) -> None:
    with refused("row 3, column 'loss'"):
        RunTable.from_frame(sweep())
    with refused("rows 1 and 2", "keep_best=True keeps the lowest loss"):
        RunTable.from_frame(sweep(loss=[3.1, 3.0, 4.0, 2.8, 2.7, 5.0]))
    runs = RunTable.from_frame(sweep(), keep_best=True)
    assert runs.row.tolist() == [2, 4]
    assert runs.notes[0] == "keep_best: 4 of 6 rows left out (rows 1, 3, 5-6)"
    # Names of runs and seeds tell repeats apart; languages make other recipes of them.
    named = sweep(run_id=list("abcdef"), seed=range(6))
    assert RunTable.from_frame(named, keep_best=True).row.tolist() == [2, 4]
    two = sweep(language=["id", "id", "ja", "id", "id", "ja"], loss=[3.1, 3.0, 4, 2.8, 2.7, 5.0])
    assert RunTable.from_frame(two, keep_best=True).row.tolist() == [2, 3, 5, 6]
    # A run without weight is not the best, however low its loss.
    weighed = sweep(weight=[1, 0, 1, 1, 1, 1], loss=[3.1, 1.0, 4.0, 2.8, 2.7, 5.0])
    assert RunTable.from_frame(weighed, keep_best=True).row.tolist() == [1, 5]


def test_a_recipe_that_only_diverged_is_still_an_error() -> None:
    table = sweep(loss=[np.nan, np.inf, np.nan, 2.8, 2.7, 5.0])
    with refused("row 1, column 'loss'"):
        RunTable.from_frame(table, keep_best=True)
    runs = RunTable.from_frame(table, keep_best=True, drop_highest=1)
    assert runs.row.tolist() == [5]


def test_the_last_checkpoint_of_each_run() -> None:
    history = pd.DataFrame(
        {
            "run_id": ["a", "a", "b", "a", "b", "c"],
            "language": ["id", "id", "id", "ja", "id", "ja"],
            "n_params": 1e6,
            "target_tokens": 1e6,
            "epochs": [2.0, 1.0, 1.0, 1.0, 3.0, 1.0],
            "loss": [3.0, 3.5, 3.6, 3.7, 2.9, 4.0],
        }
    )
    runs = RunTable.from_frame(history, last_checkpoint=True)
    assert runs.row.tolist() == [1, 4, 5, 6]
    assert runs.notes[0] == "last_checkpoint: 2 of 6 rows left out (rows 2-3)"
    with refused("no column 'run_id'", "map it"):
        RunTable.from_frame(history.drop(columns="run_id"), last_checkpoint=True)
    # Two evaluations of one checkpoint are a conflict, not a choice.
    twice = pd.concat([history, history.iloc[:1].assign(loss=3.1)])
    with refused("rows 1 and 7", "expected one loss"):
        RunTable.from_frame(twice, last_checkpoint=True)


def test_the_last_checkpoint_is_of_the_rows_that_are_complete() -> None:
    history = frame(run_id=["a", "a", "a"], loss=[3.0, 2.9, np.nan])
    runs = RunTable.from_frame(history, skip_incomplete=True, last_checkpoint=True)
    assert runs.row.tolist() == [2]
    assert [note.split(":")[0] for note in runs.notes] == ["skip_incomplete", "last_checkpoint"]


def test_options_that_leave_out_nothing_say_so() -> None:
    table = frame(run_id=list("abc"))
    runs = RunTable.from_frame(table, skip_incomplete=True, keep_best=True, where="epochs>=2")
    assert runs.notes == (
        "where epochs>=2: 0 of 3 rows left out",
        "skip_incomplete: 0 of 3 rows left out",
        "keep_best: 0 of 3 rows left out",
    )


def test_a_table_of_which_nothing_is_left() -> None:
    with refused("<table>: skip_incomplete: 3 of 3 rows left out (rows 1-3: 'loss' is not a finite",
                 "expected at least one row to be left"):  # fmt: skip
        RunTable.from_frame(frame(loss=[None] * 3), skip_incomplete=True)


def test_many_rows_are_abbreviated() -> None:
    loss = [3.0 if i % 3 else np.nan for i in range(60)]
    table = pd.DataFrame({"n_params": 1e6, "total_tokens": np.arange(1.0, 61) * 1e6, "loss": loss})
    notes = RunTable.from_frame(table, skip_incomplete=True).notes
    assert "20 of 60 rows left out (rows 1, 4, 7, 10, 13 and 15 more:" in notes[0]


def test_dropping_from_a_table_adds_to_what_it_was_read_with(tmp_path: Path) -> None:
    runs = RunTable.from_frame(frame(), drop_highest=1)
    assert runs.drop_highest(1).reading == {"drop_highest": 2}
    assert RunTable.from_frame(frame(), drop_highest=2).row.tolist() == [3]


def test_unknown_options_are_refused() -> None:
    with refused("unknown option 'colums'; did you mean 'columns'?"):
        RunTable.from_frame(frame(), colums={})
