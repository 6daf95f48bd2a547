"""The run table: defaults, repeats, methods, and public tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import m3jax
from m3jax.runs import RunTable

from .tables import HEADER, ROWS, frame, read, refused, same

TINY = Path(m3jax.__file__).parent / "data" / "tiny_two_stage.csv"


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


def test_run_ids_keep_their_text(tmp_path: Path) -> None:
    runs = read(tmp_path, f"run_id,{HEADER}", f"3,{ROWS[0]}", f"007,{ROWS[1]}", f" x ,{ROWS[2]}")
    assert runs.run_id.tolist() == ["3", "007", "x"]


@pytest.mark.parametrize("ids", [[1, 2, 3], [1.0, 2.0, 3.0], ["1", "2", "3"]])
def test_run_ids_of_frames(ids: list[Any]) -> None:
    assert RunTable.from_frame(frame(run_id=ids)).run_id.tolist() == ["1", "2", "3"]


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    lines = [f"{row},text,," for row in ROWS]
    assert len(read(tmp_path, f"{HEADER},note,,", *lines)) == 3


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


def test_checkpoints_of_one_run_are_fine() -> None:
    runs = RunTable.from_frame(frame(run_id=["a", "a", "b"]))
    assert runs.batch().cluster[0, :3].tolist() == [0, 0, 1]


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
    assert left.notes == ("drop_highest: 2 of 3 rows left out (rows 2-3: loss of 4 and above)",)
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
    assert left.notes == (*runs.notes, left.notes[-1])
    assert left.notes[-1].startswith("drop_highest: 5 of 245 rows left out")
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
