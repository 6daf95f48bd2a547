"""Chunks, and what is in the folder."""

import dataclasses

import numpy as np
import pytest

from m3jax import M3Error, RunTable, fit

from .workers import LAW, OPTIONS, assert_same, in_chunks, power_law, stamps


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_chunks_change_nothing(chunk, table, whole, tmp_path):
    assert_same(in_chunks(table, tmp_path / "new" / "folder", chunk=chunk), whole)


@pytest.mark.slow
def test_finished_chunks_are_not_fitted_again(table, whole, tmp_path):
    in_chunks(table, tmp_path, chunk=2)
    before = stamps(tmp_path)
    assert len(before) == 6
    gone = sorted(tmp_path.glob("chunk-00001-*"))
    for path in gone:
        path.unlink()
    told = []
    again = in_chunks(table, tmp_path, progress=lambda *what: told.append(what))
    assert_same(again, whole)
    after = stamps(tmp_path)
    assert {k for k in before if before[k] != after[k]} == {path.name for path in gone}
    assert [what for what in told if what[0] == "fitting"] == [("fitting", 0, 2), ("fitting", 2, 2)]
    assert [what[1] for what in told if what[0] == "chunks"] == [2, 2, 3, 3]


@pytest.mark.slow
def test_languages_that_cannot_be_fitted_are_told(table, tmp_path):
    position = {name: i for i, name in enumerate(table.languages)}
    short = np.array([position[name] == 1 for name in table.language])
    some = table.select(~short | (np.cumsum(short) <= 2))
    fits = in_chunks(some, tmp_path, chunk=1)
    assert_same(fits, fit(some, LAW, **OPTIONS))
    assert list(fits.failed) == [table.languages[1]]
    none = some.for_language(table.languages[1])
    assert in_chunks(none, tmp_path / "none").languages == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"chunk": 3}, "chunks of 2 languages, not 3"),
        ({"seed": 1, "draws": 7}, "draws = 6, not 7, seed = 0, not 1"),
        ({"fixed": {"E": 1.8}}, r"fixed = \{\}, not \{'E': 1.8\}"),
        ({"law": "m3"}, "law own, not m3"),
    ],
)
def test_another_fit_is_refused(change, told, table, tmp_path):
    in_chunks(table, tmp_path, chunk=2)
    before = stamps(tmp_path)
    with pytest.raises(M3Error, match=f"is the checkpoint of another fit, with {told}"):
        in_chunks(table, tmp_path, **change)
    assert stamps(tmp_path) == before


def test_other_runs_are_refused(table, tmp_path):
    in_chunks(table, tmp_path)
    first = table.languages[0]
    loss = table.loss.copy()
    loss[np.flatnonzero(table.language == first)[3]] *= 1 + 1e-12
    with pytest.raises(M3Error, match=f"with other runs of '{first}'"):
        in_chunks(dataclasses.replace(table, loss=loss), tmp_path)
    with pytest.raises(M3Error, match=f"other languages: '{first}' only there, none only here"):
        in_chunks(table.select(table.language != first), tmp_path)
    back = RunTable.from_frame(table.to_frame().sort_values("language", ascending=False))
    with pytest.raises(M3Error, match="its languages in another order"):
        in_chunks(back, tmp_path)


def test_a_law_that_changed_behind_its_name_is_refused(table, tmp_path):
    in_chunks(table, tmp_path)
    with pytest.raises(M3Error, match="another formula of law own"):
        in_chunks(table, tmp_path, power_law(2e3))


@pytest.mark.slow
def test_damaged_chunks_are_fitted_again(table, whole, tmp_path):
    in_chunks(table, tmp_path, chunk=2)
    before = stamps(tmp_path)
    cut, foreign = sorted(tmp_path.glob("chunk-*.json"))[:2]
    cut.write_text(cut.read_text()[:200])
    foreign.with_suffix(".npz").write_bytes(b"not an array")
    (tmp_path / ".chunk-00009.json.abcdef").write_text("half")
    assert_same(in_chunks(table, tmp_path), whole)
    changed = {name for name, stamp in stamps(tmp_path).items() if stamp != before[name]}
    assert {name[:11] for name in changed} == {"chunk-00000", "chunk-00001"}


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", '{"checkpoint_version": 99}', '{"checkpoint_version": 1}', "[" * 9999,
        '{"checkpoint_version": 1, "chunk": "2"}', '{"checkpoint_version": 1, "chunk": 2}',
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_told(content, table, tmp_path):
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(M3Error, match=r"checkpoint\.json: .*(not what m3jax wrote|version 99)"):
        in_chunks(table, tmp_path)


def test_a_folder_that_cannot_be_made_is_told(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(M3Error, match="cannot be written"):
        in_chunks(table, tmp_path / "file")
