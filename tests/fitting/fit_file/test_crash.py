"""Saving that stops anywhere leaves the fit of before or the new one, and nothing else."""

import builtins
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from m3jax import Fits, M3Error

from .saved import made_up, same

OLD, NEW = made_up(seed=1), made_up(seed=2)
CALLS = ("replace", "fsync", "open", "unlink", "mkdir")


class Stop:
    """Makes one call of one function fail, or all from that one on, before or after its work."""

    def __init__(self, patch, name, place, *, after=False, on=False, error=None):
        self.count, self.place, self.after, self.on = 0, place, after, on
        self.error = error or OSError(28, "No space left on device")
        self.hit = False
        owner = builtins if name == "open" else os
        self.function = getattr(owner, name)
        patch.setattr(owner, name, self)

    def __call__(self, *args, **kwargs):
        self.count += 1
        hit = self.count == self.place or (self.on and self.count > self.place)
        self.hit |= hit
        result = self.function(*args, **kwargs) if self.after or not hit else None
        if hit:
            if self.after and hasattr(result, "close"):
                result.close()
            raise self.error
        return result


def state(folder):
    """What is there to be read: the old fit, the new one or none; and all file names."""
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if "fits.json" not in names:
        return "none", names
    found = Fits.load(folder / "fits.json")
    return "old" if same(found, OLD) else "new" if same(found, NEW) else "neither", names


@pytest.mark.parametrize("before", [None, OLD])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("kind", ["full disk", "interrupt"])
def test_a_save_that_fails_anywhere_changes_all_or_nothing(
    tmp_path, monkeypatch, before, name, after, on, kind
):
    """Every call in turn fails; on this machine a save makes fewer than 20 of each."""
    error = KeyboardInterrupt() if kind == "interrupt" else None
    for place in range(1, 20):
        folder = tmp_path / str(place) / "made"
        if before is not None:
            before.save(folder / "fits.json")
        with monkeypatch.context() as patch:
            stop = Stop(patch, name, place, after=after, on=on, error=error)
            raised = False
            try:
                NEW.save(folder / "fits.json")
            except (M3Error, KeyboardInterrupt):
                raised = True
        found, names = state(folder)
        assert found in (("old", "new") if before is not None else ("none", "new"))
        assert found == "new" or raised
        extra = [n for n in names if n not in ("fits.json", "fits.npz")]
        if not on:  # where nothing can be removed any more, the next call does it
            assert len([n for n in extra if n.endswith(".tmp")]) == 0 or name == "unlink"
        NEW.save(folder / "fits.json")
        assert state(folder) == ("new", ["fits.json", "fits.npz"])
        if not stop.hit:
            return
    raise AssertionError("more calls than expected")


KILLED = """
import os, sys
from pathlib import Path
from tests.fitting.fit_file.saved import made_up
old, new, replace, fsync = made_up(seed=1), made_up(seed=2), os.replace, os.fsync

def killed_at(function, place, after):
    count = 0
    def call(*args, **kwargs):
        nonlocal count
        count += 1
        if count == place and not after:
            os.kill(os.getpid(), 9)
        function(*args, **kwargs)
        if count == place:
            os.kill(os.getpid(), 9)
    return call

for name, function in (("replace", replace), ("fsync", fsync)):
    for place in (1, 2, 3):
        for after in (False, True):
            path = Path(sys.argv[1], f"{name}{place}{after}", "fits.json")
            old.save(path)
            child = os.fork()
            if not child:
                setattr(os, name, killed_at(function, place, after))
                new.save(path)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
"""


@pytest.mark.slow
def test_a_save_that_is_killed_leaves_the_old_fit_or_the_new(tmp_path):
    code = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path)]
    subprocess.run(code, check=True, timeout=120)
    assert len(list(tmp_path.iterdir())) == 12
    for folder in tmp_path.iterdir():
        assert state(folder)[0] in ("old", "new")
        NEW.save(folder / "fits.json")
        assert state(folder) == ("new", ["fits.json", "fits.npz"])


def test_what_killed_writers_left_is_cleared_by_the_next(tmp_path):
    OLD.save(tmp_path / "fits.json")
    (tmp_path / ".m3jax-0123456789abcdef.tmp").write_text("half")
    (tmp_path / "fits.0123456789abcdef.npz").write_text("never got its name")
    (tmp_path / "other.0123456789abcdef.npz").write_text("of another fit")
    NEW.save(tmp_path / "fits.json")
    left = ["fits.json", "fits.npz", "other.0123456789abcdef.npz"]
    assert state(tmp_path) == ("new", left)


def test_a_reader_that_was_overtaken_twice_reads_again(tmp_path, monkeypatch):
    """Its fit was replaced by another, and that by the same again, while it looked for arrays."""
    path = tmp_path / "fits.json"
    OLD.save(path)
    read, turns = Path.read_bytes, iter((NEW, OLD))

    def overtaken(place):
        if place.suffix != ".npz" or (saved := next(turns, None)) is None:
            return read(place)
        if saved is NEW:
            NEW.save(path)
            return read(place)
        data = read(place)
        OLD.save(path)
        return data

    monkeypatch.setattr(Path, "read_bytes", overtaken)
    assert same(Fits.load(path), OLD)
    assert next(turns, None) is None


@pytest.mark.slow
def test_readers_and_writers_at_once_see_whole_fits(tmp_path):
    """Two processes save in turn to one name while this one reads."""
    code = (
        "import sys; from tests.fitting.fit_file.saved import made_up\n"
        "fits = made_up(seed=int(sys.argv[2]))\n"
        "for _ in range(40): fits.save(sys.argv[1])"
    )
    OLD.save(tmp_path / "fits.json")
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "fits.json"), str(seed)])
        for seed in (1, 2)
    ]
    end = time.monotonic() + 120
    while any(writer.poll() is None for writer in writers):
        assert state(tmp_path)[0] in ("old", "new")
        assert time.monotonic() < end
    assert [writer.returncode for writer in writers] == [0, 0]
    found, names = state(tmp_path)
    assert found in ("old", "new")
    assert names == ["fits.json", "fits.npz"]
