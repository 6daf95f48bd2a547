"""Every command that writes: killed between any two changes of the disk, or the disk is full.

What a killed process leaves is what stood there at that moment: it is copied before each change,
and read.
"""

import os
import pkgutil
import re
import shutil
import subprocess

import numpy as np
import pytest

from benchmarks.support.recipes import fits_of
from m3jax import Fits, Recipe
from m3jax.design import NextRuns

from ..conftest import call, ok
from .conftest import CONFIG, SMALL, files

POINT = ("optimize", "fits.json", "-c", "3e19", "-t", "1e8")
FIT = ("fit", "runs.csv", *SMALL)
EXPORT = ("--export", "csv", "--export-to")
# What is typed; {o} is a folder of each test's own.
LINES = {
    "fit": (*FIT, "-o", "{o}/fits.json"),
    "fit --checkpoint": (*FIT, "--checkpoint", "{o}/parts", "-o", "{o}/fits.json"),
    "map": (
        *("map", "fits.json", "-l", "language0000"),
        *("-c", "1e18,1e20", "-t", "1M,1B", "-o", "{o}/map"),
    ),
    "optimize --recipes": (*POINT, "--recipes", "{o}/recipes.csv"),
    "optimize --plan": (*POINT, "--plan", "{o}/plan.json"),
    "optimize --export": (*POINT, *EXPORT, "{o}/all", "--recipes", "{o}/all/r.csv"),
    "compare": (
        *("compare", "runs.csv", "--laws", "chinchilla", "--holdout", "compute"),
        *("--starts", 2, "--report", "{o}/page.html"),
    ),
    "next": ("next", "other.json", "--budget", "1e18", "-o", "{o}/sheet.csv"),
    "run": ("run", "plain.toml", "--overwrite", "-o", "{o}/out"),
}
COMMANDS = [
    pytest.param(name, marks=pytest.mark.slow if name in ("compare", "map", "run") else ())
    for name in LINES
]


# What takes its time.
FOUND = (
    *("m3jax.optimization.map_regimes", "m3jax.optimization.optimize"),
    *("m3jax.comparison.predict_held_out", "m3jax.comparison.score"),
    *("m3jax.output.figures.comparison_figures", "m3jax.cli.commands._map._pictures"),
    *("m3jax.pipeline._run.diagnose", "m3jax.pipeline._run.draw"),
)


def sheet(*args, **kwargs):
    """Further runs, made up."""
    recipe = Recipe(*(np.ones(2) * value for value in (1e8, 1e8, 1.0, 0.5, 0.5, 0.5)))
    two, one = np.ones(2), np.ones(1)
    return NextRuns(
        "a", "regret", recipe, two, two, two, 1e18, *[0.1] * 6, compute=one, target_tokens=one,
        notes=(),
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def found_once(home):
    """Commands are called again and again here: what they find is kept, and then written."""

    def once(function):
        found = []

        def call(*args, **kwargs):
            if not found:
                found.append(function(*args, **kwargs))
            return found[0]

        return call

    with pytest.MonkeyPatch.context() as patch:
        for place in FOUND:
            patch.setattr(place, once(pkgutil.resolve_name(place)))
        patch.setattr("m3jax.pipeline._run.optimize", pkgutil.resolve_name(FOUND[1]))
        for place in ("m3jax.fitting.fit", "m3jax.pipeline._run.fit"):
            patch.setattr(place, lambda *args, **kwargs: Fits.load(home / "fits.json"))
        patch.setattr("m3jax.design.next_runs", sheet)
        yield


@pytest.fixture(scope="module")
def inputs(home):
    """The folder to work in."""
    plain = CONFIG[: CONFIG.index("[compare]")] + CONFIG[CONFIG.index("[optimize]") :]
    (home / "plain.toml").write_text(plain.format(output="out"), encoding="utf-8")
    fits_of(1, 3, "m3").save(home / "other.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        yield home


@pytest.fixture(scope="module")
def names(inputs, tmp_path_factory):
    """The files that a command writes, found when first asked for."""
    known = {}

    def find(command):
        if command not in known:
            folder = tmp_path_factory.mktemp("names")
            ok(*typed(command, folder))
            known[command] = set(shown(folder))
        return known[command]

    return find


def typed(command, folder):
    return [str(part).format(o=folder) for part in LINES[command]]


def shown(folder):
    """Files by name, but for hidden ones, parts of a checkpoint and arrays on their way."""
    left_out = re.compile(r"(.*/)?\.m3jax-.*|parts/.*|fits\.[0-9a-f]{16}\.npz")
    return {n: (folder / n).read_bytes() for n in files(folder) if not left_out.fullmatch(n)}


def prepare(folder, names, inputs):
    """Results of before, for a command to replace."""
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"of before: " + name.encode())
        if name.endswith("fits.json"):
            shutil.copy(inputs / "other.json", folder / name)
    for path in folder.rglob("fits.json"):
        Fits.load(inputs / "other.json").save(path)
    return shown(folder)


class Film:
    """Copies of a folder, taken before each change of the disk and in the end."""

    CHANGES = ("replace", "rename", "link", "symlink", "unlink", "rmdir", "mkdir")

    def __init__(self, folder, frames):
        self.folder, self.frames, self.count = folder, frames, 0
        frames.mkdir()

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        for place in (*(f"os.{name}" for name in self.CHANGES), "m3jax._writing._at_once.exchange"):
            self.patch.setattr(place, self.filmed(place))
        return self

    def __exit__(self, *error):
        self.patch.undo()
        self.take()

    def filmed(self, place):
        function = pkgutil.resolve_name(place)

        def call(*args, **kwargs):
            paths = [os.fspath(part) for part in args if isinstance(part, str | os.PathLike)]
            if any(str(self.folder) in path for path in paths):
                self.take()
            return function(*args, **kwargs)

        return call

    def take(self):
        copy = self.frames / f"{self.count:03d}"
        self.count += 1
        subprocess.run(["cp", "-a", str(self.folder), str(copy)], check=True)


@pytest.mark.parametrize("there", ["results of before", "nothing"])
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_between_any_two_changes(inputs, names, tmp_path, command, there):
    folder = tmp_path / "work"
    folder.mkdir()
    before = {} if there == "nothing" else prepare(folder, names(command), inputs)
    with Film(folder, tmp_path / "frames") as film:
        ok(*typed(command, folder))
    after = shown(folder)
    assert set(after) == names(command)
    seen = []
    for frame in sorted((tmp_path / "frames").iterdir()):
        now = shown(frame)
        if command.startswith("fit") and now:
            # Its arrays are found by their digest, whatever stands under their plain name.
            Fits.load(frame / "fits.json")
            now = (before if now["fits.json"] == before.get("fits.json") else after) | {
                "fits.json": now["fits.json"]
            }
        assert now in (before, after), (frame.name, sorted(now))
        seen.append(now == after)
    assert seen == sorted(seen)
    assert set(seen) == {False, True}
    assert film.count > 1


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A function that fills a disk of 8 MiB to the last byte, and the folder it is mounted at."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk):
    """Write until nothing more fits."""
    with open(disk / "ballast", "wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


@pytest.mark.parametrize("full", ["from the first file", "from the third", "a disk"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(inputs, names, small_disk, tmp_path, monkeypatch, command, full):
    folder = tmp_path / "work"
    if full == "a disk":
        if small_disk is None:
            pytest.skip("no disk can be mounted here")
        folder = small_disk / command.replace(" ", "")
    folder.mkdir()
    before = prepare(folder, names(command), inputs)
    if full == "a disk":
        fill(small_disk)
        result = call(*typed(command, folder))
        (small_disk / "ballast").unlink()
    else:
        count, fsync = iter(range(1000)), os.fsync

        def fail(handle):
            if next(count) >= (2 if full == "from the third" else 0):
                raise OSError(28, "No space left on device")
            fsync(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            result = call(*typed(command, folder))
    if result.code == 0:
        assert full == "from the third"
        assert len(names(command)) < 3
        return
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("m3jax: error: ")
    assert result.err.endswith("cannot be written: No space left on device\n")
    assert result.err.count("\n") == 1
    assert shown(folder) == before
    assert list(folder.rglob(".m3jax-*")) == []


def interrupted_at(patch, name, place):
    """Ctrl-C at one call of the system."""
    function, count = getattr(os, name), iter(range(1000))

    def call(*args, **kwargs):
        if next(count) == place:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    patch.setattr(os, name, call)


@pytest.mark.parametrize(
    ("command", "name", "place", "words"),
    [
        (
            *("fit --checkpoint", "fsync", 2),
            "finished languages are kept in {o}/parts; the same command goes on from there",
        ),
        pytest.param(
            *("run", "fsync", 0),
            "nothing is written to {o}/out yet; the same command begins anew",
            marks=pytest.mark.slow,
        ),
        pytest.param(*("run", "replace", 0), "all results are in {o}/out", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_says_what_is_kept(
    inputs, names, tmp_path, monkeypatch, command, name, place, words
):
    before = prepare(tmp_path, names(command), inputs)
    with monkeypatch.context() as patch:
        interrupted_at(patch, name, place)
        result = call(*typed(command, tmp_path))
    line = f"m3jax: error: interrupted: {words.format(o=tmp_path)}\n"
    assert (result.code, result.out, result.err) == (130, "", line)
    assert (shown(tmp_path) == before) == (name == "fsync")
    ok(*typed(command, tmp_path))
