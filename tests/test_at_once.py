"""Files of one folder in one step: killed anywhere, it shows all of before or all of after."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from m3jax import M3Error
from m3jax.files import write_at_once, write_files, write_folder

OLD = {"a": b"old a", "b": b"old b", "gone": b"theirs"}
NEW = {"a": b"new a", "b": b"new b", "c": b"new c"}
THEIRS = {"gone": b"theirs", "link": b"old a", "sub/x": b"in a folder", "sub/deep/y": b"deeper"}


def prepare(folder):
    """A folder of ours with what others put there."""
    folder.mkdir(parents=True)
    for name, content in OLD.items():
        (folder / name).write_bytes(content)
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "x").write_bytes(THEIRS["sub/x"])
    (folder / "sub" / "deep" / "y").write_bytes(THEIRS["sub/deep/y"])
    (folder / "link").symlink_to("a")


def shown(folder):
    """What a user sees by the folder's name, through links and all."""
    names = ("a", "b", "c", *THEIRS)
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


BEFORE = {**THEIRS, "a": b"old a", "b": b"old b"}
AFTER = {**THEIRS, **NEW, "link": b"new a"}


def replaced(folder, contents=NEW):
    return write_at_once({folder / name: content for name, content in contents.items()})


@pytest.fixture(scope="module", autouse=True)
def can_exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe") / "folder"
    folder.mkdir()
    if not replaced(folder):
        pytest.skip("the file system of the tests exchanges no folders")


# Each call of the system in turn is the last of a process, before or after its work.
KILLED = """
import os, sys
from pathlib import Path
from m3jax import _writing
from m3jax._writing import _at_once
from tests.test_at_once import prepare, replaced

def dying(function, die, after):
    def call(*args, **kwargs):
        last = die()
        if last and not after:
            os._exit(9)
        function(*args, **kwargs) if last else None
        if last:
            os._exit(9)
        return function(*args, **kwargs)
    return call

places = [(os, name) for name in ("link", "replace", "rename", "symlink", "unlink", "rmdir",
          "fsync", "mkdir", "chmod")] + [(_at_once, "exchange")]
for after in (False, True):
    for place in range(200):
        folder = Path(sys.argv[1], f"{after}{place}", "out")
        if sys.argv[2] == "old":
            prepare(folder)
        else:
            folder.parent.mkdir()
        child = os.fork()
        if not child:
            count = iter(range(1000))
            for module, name in places:
                setattr(module, name, dying(getattr(module, name), lambda: next(count) == place,
                        after))
            replaced(folder)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
    else:
        raise AssertionError("more calls than expected")
"""


@pytest.mark.parametrize("kind", ["old", "none"])
def test_a_process_that_is_killed_anywhere_leaves_all_of_before_or_of_after(tmp_path, kind):
    code = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), kind]
    subprocess.run(code, check=True, timeout=120)
    before, after = (BEFORE, AFTER) if kind == "old" else ({}, NEW)
    seen = []
    for folder in tmp_path.iterdir():
        seen.append(shown(folder / "out"))
        assert seen[-1] in (before, after), folder
        # The next call puts everything in its place, and away.
        assert replaced(folder / "out")
        assert [path.name for path in folder.iterdir()] == ["out"]
        assert not (folder / "out" / "sub").is_symlink()
        assert shown(folder / "out") == after
        assert not [path for path in (folder / "out").iterdir() if path.name.startswith(".")]
    assert before in seen
    assert after in seen
    assert len(seen) > 15


def test_the_folder_and_the_files_of_others_stay_the_same(tmp_path):
    """Terminals, servers and other names of a file hold on to what has no name."""
    folder = tmp_path / "out"
    prepare(folder)
    folder.chmod(0o750)
    (folder / "pipe").mkdir()
    before = {name: (folder / name).lstat().st_ino for name in (".", "gone", "link", "sub")}
    handle = os.open(folder, os.O_RDONLY)
    assert replaced(folder)
    assert sorted(os.listdir(handle)) == ["a", "b", "c", "gone", "link", "pipe", "sub"]
    os.close(handle)
    assert {name: (folder / name).lstat().st_ino for name in before} == before
    assert (folder / "gone").stat().st_nlink == 1
    assert folder.stat().st_mode & 0o777 == 0o750
    assert shown(folder) == AFTER


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    prepare(tmp_path / "real")
    (tmp_path / "out").symlink_to("real")
    assert replaced(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert shown(tmp_path / "real") == AFTER


@pytest.mark.parametrize("case", ["two folders", "here", "no exchange", "no links", "refused"])
def test_where_one_step_cannot_be_had_files_are_renamed(tmp_path, monkeypatch, case):
    folder = tmp_path / "out"
    prepare(folder)

    def fail(*args, **kwargs):
        raise OSError(22, "Invalid argument")

    contents = {folder / name: content for name, content in NEW.items()}
    if case == "two folders":
        contents[tmp_path / "d"] = b""
    elif case == "here":
        monkeypatch.chdir(folder / "sub")
    elif case == "no exchange":
        monkeypatch.setattr("m3jax._writing._at_once.exchange", fail)
    elif case == "no links":
        monkeypatch.setattr(os, "link", fail)
    else:
        monkeypatch.setattr(Path, "mkdir", fail)  # beside the folder
    assert not write_at_once(contents)
    assert shown(folder) == BEFORE
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert write_folder(contents) == tuple(contents)
    assert shown(folder) == AFTER


@pytest.mark.parametrize("place", range(1, 4))
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_changes_nothing(tmp_path, monkeypatch, place, error):
    folder, count, fsync = tmp_path / "out", 0, os.fsync
    prepare(folder)

    def fail(handle):
        nonlocal count
        count += 1
        if count >= place:
            raise error
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((M3Error, KeyboardInterrupt)) as caught:
        replaced(folder)
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f"{folder}/{'abc'[place - 1]}: cannot be written: No")
    assert shown(folder) == BEFORE
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_interrupt_after_the_step_leaves_the_new_files(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    prepare(folder)

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            replaced(folder)
    assert shown(folder) == AFTER
    assert replaced(folder, {"a": b"newer a", "b": b"new b"})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert shown(folder) == {**AFTER, "a": b"newer a", "link": b"newer a"}
    assert not (folder / "sub").is_symlink()


def test_readers_never_see_a_mixture_and_writers_lose_nothing(tmp_path):
    """Folders are exchanged while others write single files there."""
    folder = tmp_path / "out"
    folder.mkdir()
    names, errors = "abcdefgh", []

    def together(letter):
        for _ in range(20):
            assert replaced(folder, dict.fromkeys(names, letter))

    def alone(number):
        for i in range(40):
            try:
                write_files({folder / f"{number}-{i}": b"mine"})
            except M3Error as error:
                errors.append(error)

    threads = [threading.Thread(target=together, args=(letter,)) for letter in (b"x", b"y")]
    threads += [threading.Thread(target=alone, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({(folder / name).read_bytes() for name in names}) == 1
    assert len(list(folder.iterdir())) == len(names) + 80
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", [".m3jax-0123456789abcdef.tmp", ".m3jax-x.tmp"])
def test_links_that_look_like_ours_lead_to_no_removal(tmp_path, name):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_bytes(b"theirs")
    (tmp_path / name).symlink_to("precious")
    folder = tmp_path / "out"
    prepare(folder)
    (folder / "file").symlink_to(f"../{name}/file")
    assert replaced(folder)
    assert (tmp_path / "precious" / "file").read_bytes() == b"theirs"
