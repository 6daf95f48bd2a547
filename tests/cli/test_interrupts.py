"""Ctrl-C in a process of its own, amid the work: exit code 130, and a line of what is kept."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import call
from .conftest import files
from .test_pilot import CONFIG as PILOT
from .test_pilot import PATCH, made_up_text

# Says when a function has been called.
CODE = """
import importlib, pathlib
module, name = {place!r}.rsplit(".", 1)
module = importlib.import_module(module)
function = getattr(module, name)
def begun(*args, **kwargs):
    pathlib.Path("begun").touch()
    return function(*args, **kwargs)
setattr(module, name, begun)
from m3jax.cli import main
main()
"""
# As from a terminal, though this may run in the background, where shells have Ctrl-C ignored.
HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
LONG = ("--law", "m3", "--draws", 100_000)


def interrupted(sign, *arguments, code):
    """How `m3jax` ends with these arguments, interrupted as soon as a file is there."""
    command = [sys.executable, "-c", HEARD + code, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(command, text=True, **pipes)
    deadline = time.monotonic() + 120
    while not Path(sign).exists():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    # Python may end by the signal itself, which shells call 130, too.
    assert running.returncode in (130, -signal.SIGINT)
    assert out == ""
    assert err.count("\n") == 1
    return err.removeprefix("m3jax: error: interrupted: ").strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "arguments", "kept"),
    [
        (
            "m3jax.fitting.fit",
            ("fit", "runs.csv", *LONG, "-o", "new.json"),
            "nothing is kept; with --checkpoint FOLDER finished languages are",
        ),
        (
            "m3jax.pipeline._run.fit",
            ("run", "long.toml"),
            "nothing is written to out yet; the same command begins anew",
        ),
        (
            "m3jax.comparison.predict_held_out",
            ("compare", "runs.csv", "--starts", 50, "--report", "page.html"),
            "nothing is written",
        ),
    ],
)
def test_amid_the_work_nothing_is_written(here, place, arguments, kept):
    text = Path("study.toml").read_text(encoding="utf-8")
    Path("long.toml").write_text(text.replace("draws = 2", "draws = 100000"), encoding="utf-8")
    before = files(here)
    assert interrupted("begun", *arguments, code=CODE.format(place=place)) == kept
    assert files(here) == before | {"begun"}


@pytest.mark.slow
def test_a_pilot_says_how_many_runs_are_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, letters in (("target.txt", "abcdefgh"), ("source.txt", "klmnopqr")):
        Path(name).write_text(made_up_text(len(name), letters), encoding="utf-8")
    Path("pilot.toml").write_text(PILOT.format(output="runs.csv"), encoding="utf-8")
    said = interrupted("runs.csv", "pilot", "pilot.toml", "--quiet", code=PATCH)
    kept = len(Path("runs.csv").read_text(encoding="utf-8").splitlines()) - 1
    assert kept > 0
    assert said == f"{kept} of 8 runs are kept in runs.csv; the same command goes on from there"


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_was_written_before_is_named(here, monkeypatch, where):
    """Amid the printing of a command whose file is written, or before there is one."""

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    place = {"before": "m3jax.optimization.optimize", "after": "m3jax.output.show_recommendations"}
    monkeypatch.setattr(place[where], interrupt)
    result = call("optimize", "fits.json", "-c", 3e19, "-t", 1e8, "--recipes", "recipes.csv")
    kept = {"before": "nothing is written", "after": "written: recipes.csv"}[where]
    assert (result.code, result.err) == (130, f"m3jax: error: interrupted: {kept}\n")
    assert os.path.exists("recipes.csv") == (where == "after")
