"""What happens to folders and machines: whatever it is, the result is the same, bit for bit."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time

import pytest

from m3jax import M3Error, fit
from m3jax.fitting import Fits

from .workers import LAW, MANY, OPTIONS, assert_same, ended, in_chunks, made_up, stamps

MOUNT = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
what, where = (argument.encode() for argument in sys.argv[1:])
small_disk = (b"none", where, b"tmpfs", 0, b"size=4m")
folder = (what, where, None, 4096, None)  # MS_BIND
if libc.mount(*(small_disk if what == b"small disk" else folder)):
    sys.exit(os.strerror(ctypes.get_errno()))
"""


def mount(what, where):
    """Mount a folder, or a "small disk", at another; or skip, where that is not allowed."""
    done = subprocess.run([sys.executable, "-c", MOUNT, str(what), str(where)], capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")


def _after(condition, then):
    """Do something as soon as a condition holds, meanwhile."""

    def wait():
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def _fill(path):
    """Write until there is no space left, not a byte."""
    with open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"0" * size)
        file.write(b"0")


def _some_chunk(folder):
    return lambda: any(folder.glob("chunk-*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("instead", ["nothing", "an empty folder"])
def test_a_folder_that_goes_and_comes_back(instead, table, whole, tmp_path):
    folder, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    told = []

    def away():
        folder.rename(elsewhere)
        if instead != "nothing":
            folder.mkdir()
        time.sleep(2.0)
        if instead != "nothing":
            # What a process may leave in the place meanwhile: a sign of life, and no chunk.
            assert not list(folder.glob("chunk-*.json"))
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        elsewhere.rename(folder)

    gone = _after(_some_chunk(folder), away)
    fits = in_chunks(table, folder, chunk=1, patience=30, progress=lambda *t: told.append(t[0]))
    gone.join()
    assert "waiting for the folder" in told
    assert_same(fits, whole)


@pytest.mark.slow
def test_a_mount_that_is_lost_and_comes_back(start, tmp_path):
    """The shared folder is unmounted under two processes at work, and mounted again."""
    folder, disk = tmp_path / "shared", tmp_path / "disk"
    folder.mkdir()
    disk.mkdir()
    mount(disk, folder)
    try:
        order = {
            "languages": MANY, "checkpoint": str(folder), "patience": 60,
            "options": OPTIONS | {"chunk": 1},
        }  # fmt: skip
        workers = [start(**order, share=(i, 2), output=str(tmp_path / f"{i}.json")) for i in (0, 1)]
        deadline = time.monotonic() + 120
        while not _some_chunk(folder)() and time.monotonic() < deadline:
            time.sleep(0.01)
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        before = len(list(disk.glob("chunk-*.json")))
        assert 0 < before < MANY
        time.sleep(3.0)
        # Nothing is lost in the empty place: what was finished meanwhile is in its process still.
        assert not list(folder.glob("chunk-*"))
        assert not list(folder.glob("manifest*"))
        mount(disk, folder)
        told = [ended(worker) for worker in workers]
        assert any("waiting for the folder" in line for lines in told for line in lines)
        whole = fit(made_up(MANY), LAW, **OPTIONS)
        assert_same(Fits.load(tmp_path / "0.json", law=LAW), whole)
        assert_same(Fits.load(tmp_path / "1.json", law=LAW), whole)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_a_folder_that_stays_away_is_told(table, whole, tmp_path):
    folder, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    gone = _after(_some_chunk(folder), lambda: folder.rename(elsewhere))
    with pytest.raises(M3Error, match=r"shared: .*for 0\.5 s; what is finished is kept"):
        in_chunks(table, folder, chunk=1, patience=0.5)
    gone.join()
    assert list(elsewhere.glob("chunk-*.json"))
    elsewhere.rename(folder)
    assert_same(in_chunks(table, folder), whole)


def test_a_folder_that_goes_while_files_are_read_loses_none(table, whole, tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "shared", tmp_path / "elsewhere"
    in_chunks(table, folder, chunk=1)
    before, load, listed, missed = stamps(folder), Fits.load, os.listdir, []

    def load_without_the_folder(path, **more):
        monkeypatch.setattr(Fits, "load", load)
        folder.rename(elsewhere)
        return load(path, **more)

    def back_as_soon_as_it_is_missed(path):
        try:
            return listed(path)
        except FileNotFoundError:
            if path == folder:
                missed.append(path)
                elsewhere.rename(folder)
            raise

    monkeypatch.setattr(Fits, "load", load_without_the_folder)
    monkeypatch.setattr(os, "listdir", back_as_soon_as_it_is_missed)
    assert_same(in_chunks(table, folder, patience=30), whole)
    assert missed == [folder]
    assert stamps(folder) == before


def test_a_full_disk_keeps_what_is_finished(table, whole, tmp_path, monkeypatch):
    folder, room = tmp_path / "shared", [2]
    save = Fits.save

    def save_while_there_is_room(self, path, **more):
        if not room[0]:
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise M3Error(f"{path}: cannot be written: {error.strerror}") from error
        room[0] -= 1
        return save(self, path, **more)

    monkeypatch.setattr(Fits, "save", save_while_there_is_room)
    with pytest.raises(M3Error, match="No space left on device"):
        in_chunks(table, folder, chunk=1)
    assert len(list(folder.glob("chunk-*.json"))) == 2
    room[0] = 100
    assert_same(in_chunks(table, folder, chunk=1), whole)


@pytest.mark.slow
def test_a_disk_that_is_really_full(whole, start, table, tmp_path):
    """A small disk is filled to the last byte by another while two processes work."""
    folder = tmp_path / "shared"
    folder.mkdir()
    mount("small disk", folder)
    try:
        order = {"languages": 5, "checkpoint": str(folder), "patience": 5}
        with pytest.raises(OSError, match="No space"):
            _fill(folder / "other")
        workers = [start(**order, share=(i, 2), output=str(tmp_path / f"{i}.json")) for i in (0, 1)]
        for worker in workers:
            _, told = worker.communicate(timeout=120)
            assert worker.returncode == 1
            assert "No space left on device" in told
        (folder / "other").unlink()
        workers = [start(**order, share=(i, 2), output=str(tmp_path / f"{i}.json")) for i in (0, 1)]
        for worker in workers:
            ended(worker)
        assert_same(Fits.load(tmp_path / "0.json", law=LAW), whole)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("skew", [-86400, 86400])
def test_clocks_that_differ_and_jump(skew, table, whole, tmp_path):
    """The other process lives, by a clock of another day that is set back all the time."""
    folder, over, beats = tmp_path / "shared", threading.Event(), [0]
    sign = folder / ".process-00001"

    def beat():
        # Until the other has ended: between this and its own signs there is no gap.
        while not over.wait(0.2):
            with contextlib.suppress(FileNotFoundError):  # not made yet
                sign.touch()
                beats[0] += 1
                then = time.time() + skew - 100 * beats[0]
                os.utime(sign, (then, then))

    def late():
        time.sleep(8.0)  # twice the patience of who waits
        in_chunks(made_up(5), folder, share=(1, 2))

    threads = [threading.Thread(target=work) for work in (beat, late)]
    for thread in threads:
        thread.start()
    fits = in_chunks(table, folder, chunk=1, share=(0, 2), patience=4.0)
    threads[1].join()
    over.set()
    threads[0].join()
    assert beats[0] > 10
    assert_same(fits, whole)
