"""Files of one call: all or none, under names that hold, and nothing left of failed calls."""

import os
import threading
from pathlib import Path

import pytest

from m3jax import M3Error
from m3jax.files import cell_text, check_place, csv_text, file_name, write_files


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", ["replace", "fsync"])
@pytest.mark.parametrize("place", range(1, 8))
def test_all_files_or_none(tmp_path, monkeypatch, name, place):
    old = {"a": b"old a", "c": b"old c"}
    new = {"a": b"new a", "b": b"new b", "c": b"new c", "d": b"new d"}
    write_files({tmp_path / key: data for key, data in old.items()})
    function, count = getattr(os, name), 0

    def fail(*args, **kwargs):
        nonlocal count
        count += 1
        if count == place:
            raise OSError(28, "No space left on device")
        return function(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        try:
            write_files({tmp_path / key: data for key, data in new.items()})
            expected = new
        except M3Error as error:
            expected = old
            assert str(error).endswith("cannot be written: No space left on device")  # noqa: PT017
    assert listing(tmp_path) == expected


def test_folders_of_a_failed_call_are_gone(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(M3Error, match="No space left"):
        write_files({tmp_path / "a" / "b" / "c": b"", tmp_path / "d": b""})
    assert list(tmp_path.iterdir()) == []


def test_files_have_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    write_files({tmp_path / "ours": b""})
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_writers_in_one_folder_take_turns(tmp_path):
    """Nobody clears away what another is writing."""
    errors = []

    def write(letter):
        try:
            for _ in range(20):
                write_files({tmp_path / name: letter * 2000 for name in "abc"})
        except M3Error as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"x", b"y", b"z")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(listing(tmp_path)) == {"a", "b", "c"}
    assert len(set(listing(tmp_path).values())) == 1


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("a\0b", "not a file name"),
        ("n" * 300, "a name of more than 255 bytes|File name too long"),
        (f"no/such/{'ж' * 200}", "a name of more than 255 bytes"),
        ("file/x/y", "file is not a folder"),
        ("folder", "is a folder, expected a file name"),
    ],
)
def test_places_that_cannot_be_written_are_told_beforehand(tmp_path, place, words):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(M3Error, match=words) as caught:
        check_place(tmp_path / place)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_a_folder_without_permission_is_told_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args: False)  # root may write anywhere
    with pytest.raises(M3Error, match="no permission to write to"):
        check_place(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "'=x", "''-x", "'quoted", "a=b"])
def test_formulas_in_cells_are_text_and_come_back(text):
    cell = csv_text([{"a": text}]).split("\n", 1)[1].rstrip("\n")
    assert cell[:1] not in "=+-@\t"
    assert cell_text(cell) == text


def test_numbers_in_cells_stay_numbers():
    assert (
        csv_text([{"a": -1.5, "b": "-1.5", "c": "+2e3", "d": None}]) == "a,b,c,d\n-1.5,-1.5,+2e3,\n"
    )


def test_file_names_are_short_and_plain():
    assert file_name("../a b") == "___a_b"
    assert len(os.fsencode(file_name("𐍈" * 300))) <= 160
    assert Path(file_name("x" * 300)).name == "x" * 40
