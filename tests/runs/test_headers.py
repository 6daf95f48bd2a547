"""Columns whose names are nearly those of the run table: read and said, refused, or said."""

from pathlib import Path

import pandas as pd
import pytest

from m3jax.runs import RunTable

from .tables import HEADER, ROWS, frame, read, refused

LANGUAGES = ["ja", "id", "ja"]


@pytest.mark.parametrize("name", ["Language", " LANGUAGE", "language\u200b", "\ufefflanguage "])
def test_case_and_what_cannot_be_seen_is_no_other_name(name: str) -> None:
    runs = RunTable.from_frame(frame(**{name: LANGUAGES}))
    assert runs.languages == ("ja", "id")
    plain = name.strip(" \u200b\ufeff")
    said = () if plain == "language" else (f"column {plain!r} is read as language",)
    assert runs.notes == said


@pytest.mark.parametrize("name", ["Target_Ratio", "target ratio", "Target-Ratio", "TARGET_RATIO"])
def test_separators_of_words_are_no_other_name(tmp_path: Path, name: str) -> None:
    runs = read(tmp_path, HEADER.replace("target_ratio", name), *ROWS)
    assert runs.recipe.target_ratio.tolist() == [0.5, 0.5, 1.0]
    assert runs.notes == (f"column {name!r} is read as target_ratio",)


@pytest.mark.parametrize("name", ["lang", "Lang", "langauge", "languages", "language_code"])
def test_what_may_be_the_language_is_not_read_as_none(name: str) -> None:
    with refused(f"<table>: column {name!r} is not read, and there is no 'language': map it, "
                 f"columns={{'language': {name!r}}}"):  # fmt: skip
        RunTable.from_frame(frame(**{name: LANGUAGES}))
    mapped = RunTable.from_frame(frame(**{name: LANGUAGES}), columns={"language": name})
    assert mapped.languages == ("ja", "id")
    assert RunTable.from_frame(frame(**{name: 0}, language=LANGUAGES)).notes == ()


def test_what_may_be_a_ratio_is_not_taken_as_1() -> None:
    with refused("column 'target_ratios' is not read"):
        RunTable.from_frame(frame(target_ratio=None, target_ratios=0.5))
    with refused("column 'Final-Ratoi' is not read"):
        RunTable.from_frame(frame(**{"Final-Ratoi": 1.0}))


def test_what_may_be_another_column_is_said() -> None:
    runs = RunTable.from_frame(frame(seeds=1, lr=3e-4))
    assert runs.notes == ("column 'seeds' is not read; if it is seed, map it",)


def test_a_second_column_of_a_name_is_said() -> None:
    runs = RunTable.from_frame(frame(Loss=9.0))
    assert runs.loss.tolist() == [3.0, 2.9, 2.8]
    assert runs.notes == ("column 'Loss' is not read: loss is column 'loss'",)
    with refused("column 'Language' is not read"):
        RunTable.from_frame(frame(Language=LANGUAGES, LANGUAGE=LANGUAGES))


def test_columns_of_other_things_are_left_in_peace() -> None:
    others = ["State", "Runtime", "Notes", "train/loss", "batch_size", "final_loss",
              "epoch", "n_layers", "learning_rate", "eval/epoch", "d_model"]  # fmt: skip
    assert RunTable.from_frame(frame(**dict.fromkeys(others, 1))).notes == ()


def test_a_mapping_may_name_a_column_with_what_cannot_be_seen() -> None:
    table = frame(loss=None, **{"val \u200b": [3.0, 2.9, 2.8]})
    for own in ("val \u200b", "val"):
        assert RunTable.from_frame(table, columns={"loss": own}).loss[0] == 3.0


@pytest.mark.parametrize("name", ["eval/loss", "val_loss", "eval_id_loss", "Validation loss"])
def test_a_loss_beside_one_on_held_out_text_is_said(name: str) -> None:
    table = frame(**{name: 3.0})
    said = f"the loss is column 'loss', not {name!r}: it should be one on held-out text"
    assert RunTable.from_frame(table).notes == (said,)
    assert RunTable.from_frame(table, columns={"loss": name}).notes == ()


def test_an_index_with_a_name_is_a_column() -> None:
    by_language = frame(language=LANGUAGES, run_id=["a", "b", "c"]).set_index(
        ["language", "run_id"]
    )
    runs = RunTable.from_frame(by_language)
    assert runs.languages == ("ja", "id")
    assert runs.run_id.tolist() == ["a", "b", "c"]
    with refused("found twice: 'language'"):
        table = frame(language=LANGUAGES)
        RunTable.from_frame(table.set_index(pd.Index(LANGUAGES, name="language")))


@pytest.mark.parametrize(
    "header",
    [
        "Step,a - val/loss,a - val/loss__MIN,a - val/loss__MAX,b - val/loss",
        "_step,a - loss,b - loss",
        "Relative Time (Process),a - loss",
    ],
)
def test_a_chart_of_runs_side_by_side_is_named(tmp_path: Path, header: str) -> None:
    cells = ",".join("3.1" for _ in header.split(","))
    with refused("runs.csv: expected a row a run, found a chart exported from Weights & Biases",
                 "'a - "):  # fmt: skip
        read(tmp_path, header, cells)
