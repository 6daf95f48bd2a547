"""What a table that breaks no rule should still be told of."""

from pathlib import Path

import numpy as np
import pytest

import m3jax
from m3jax import fit
from m3jax.runs import RunTable

from .tables import HEADER, ROWS, frame, read

TINY = Path(m3jax.__file__).parent / "data" / "tiny_two_stage.csv"


def _tiny(**changes):
    table = RunTable.read(TINY).to_frame()
    return RunTable.from_frame(table.assign(**{k: f(table) for k, f in changes.items()}))


def test_real_tables_are_not_odd(shared_data):
    assert RunTable.read(TINY).notes == ()
    chinchilla = RunTable.read(shared_data / "chinchilla" / "runs_245.csv")
    assert not [n for n in chinchilla.notes if "perplex" in n or "may be one" in n]


def test_a_target_ratio_that_is_not_there_is_said_to_be_taken_as_1(tmp_path):
    absent = RunTable.from_frame(frame(target_ratio=None))
    assert absent.notes == ("no target_ratio column: taken as 1, nothing but target text",)
    blank = RunTable.from_frame(frame(target_ratio=[0.5, np.nan, np.nan]))
    assert blank.notes == ("target_ratio is blank in 2 rows: taken as 1",)
    assert RunTable.from_frame(frame(target_ratio=1.0)).notes == ()


def test_perplexities_are_suspected_by_their_size():
    (note,) = _tiny(loss=lambda t: np.exp(t.loss)).notes
    assert note.startswith("losses look like perplexities: ")
    perplexity = np.exp(RunTable.read(TINY).loss)
    high = np.flatnonzero(perplexity > 10)
    assert f"{len(high)} of {len(perplexity)} are above 10 nats" in note
    assert f"(row {high[0] + 1}: {perplexity[high[0]]:.4g})" in note


def test_perplexities_are_suspected_by_their_name():
    (note,) = RunTable.from_frame(
        frame(loss=None, valid_PPL=[5.4, 7.3, 6.1]), columns={"loss": "valid_PPL"}
    ).notes
    assert note.startswith("losses look like perplexities: column 'valid_PPL' was read as nats")


def test_a_run_that_diverged_makes_no_perplexities():
    assert _tiny(loss=lambda t: t.loss.where(t.index != 7, 30.0)).notes == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Indonesian", "indonesian"),
        ("Haitian Creole", "haitian  creole"),
        ("Haitian Creole", "Haitian_Creole"),
        ("ind_Latn", "ind"),
        ("ind_Latn", "IND"),
        ("srp_Cyrl", "srp_Latn"),
        ("ｉｎｄ", "ind"),
        ("Indonesian", "ind_Latn"),
        ("Chinese", "zho_Hans"),
        ("de", "deu"),
        ("Norwegian_Bokmål", "nob"),
    ],
)
def test_languages_that_may_be_one_are_named(one, other):
    runs = RunTable.from_frame(frame(language=[one, other, "Korean"]))
    assert runs.languages == (one, other, "Korean")
    (note,) = runs.notes
    assert note.startswith(f"languages that may be one: {one!r} and {other!r};")


@pytest.mark.parametrize(
    "names",
    [
        ("ind", "indo", "in"),
        ("Norwegian", "nob", "nn"),
        ("Norwegian", "Norwegian Bokmål", "日本"),
        ("+", "-", "x"),
    ],
)
def test_other_languages_are_not(names):
    assert RunTable.from_frame(frame(language=list(names))).notes == ()


def test_spaces_around_a_name_are_no_part_of_it():
    runs = RunTable.from_frame(frame(language=["Indonesian", "Indonesian ", " Indonesian"]))
    assert runs.languages == ("Indonesian",)


def test_exact_duplicates_are_kept_counted_and_named(tmp_path):
    runs = read(tmp_path, HEADER, ROWS[0], ROWS[1], ROWS[0], ROWS[0])
    assert len(runs) == 4
    assert runs.notes == (
        "2 exact duplicate rows kept (same recipe and loss): row 3 repeats row 1,"
        " row 4 repeats row 1",
    )
    many = read(tmp_path, HEADER, *[ROWS[2]] * 9)
    assert many.notes[0].endswith("row 6 repeats row 1, and 3 more")


def test_a_copy_under_another_name_is_one(tmp_path):
    runs = read(tmp_path, f"run_id,{HEADER}", f"a,{ROWS[0]}", f"b,{ROWS[1]}", f"c,{ROWS[1]}")
    assert runs.notes == ("1 exact duplicate row kept (same recipe and loss): row 3 repeats row 2",)
    other = read(tmp_path, f"language,{HEADER}", f"a,{ROWS[0]}", f"b,{ROWS[0]}")
    assert other.notes == ()


def test_a_fit_keeps_what_its_table_was_told():
    table = RunTable.read(TINY).to_frame()
    table["language"] = np.where(np.arange(len(table)) % 2, "ind_Latn", "ind")
    runs = RunTable.from_frame(table.drop(columns=["target_ratio", "final_ratio", "first_ratio"]))
    fits = fit(runs, "chinchilla", draws=0, starts=1, engine="host")
    assert fits.settings["notes"] == list(runs.notes)
    assert [note.split(":")[0] for note in runs.notes] == [
        "no target_ratio column",
        "languages that may be one",
    ]
