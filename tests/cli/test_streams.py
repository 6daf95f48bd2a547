"""Standard output that is full, gone, closed or of another encoding; names that would obey."""

import io
import json
import os
import sys
from pathlib import Path

import pandas as pd
import pytest

from m3jax.cli import main

from ..conftest import call, ok
from .conftest import SMALL, files, process

ESCAPES = "\x1b[31mred\x9b2J"
TURNED = "abc\u202edef\u2066"


def as_bytes(monkeypatch, encoding, *arguments):
    """What a command writes to a standard output of an encoding."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "argv", ["m3jax", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdout", out)
    main()
    return out.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "gbk", "cp1252", "utf-16"])
def test_output_of_any_encoding(here, monkeypatch, encoding):
    text = as_bytes(monkeypatch, encoding, "laws")
    assert "chinchilla" in text
    table = as_bytes(monkeypatch, encoding, "predict", "fits.json", "--n-params", "1e8",
                     "--target-tokens", "1e8", "--epochs", 1)  # fmt: skip
    assert "language0000" in table
    laws = json.loads(as_bytes(monkeypatch, encoding, "laws", "--json"))
    assert laws == json.loads(as_bytes(monkeypatch, "utf-8", "laws", "--json"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "line",
    [
        ("laws",),
        ("laws", "--json"),
        ("--help",),
        ("fit", "--help"),
        pytest.param(("fit", "runs.csv", *SMALL, "--json"), marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_behind_standard_output_is_one_line(here, line):
    with open("/dev/full", "w") as full:
        done = process(*line, stdout=full)
    assert done.returncode == 2
    assert done.stderr == "m3jax: error: standard output: No space left on device\n"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["/proc/none", "/dev/full"])
def test_a_cache_that_cannot_be_written_is_not_told_once_a_function(monkeypatch, place):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", place)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    code = (
        "from m3jax.cli._common import use_cache; use_cache(); import jax\n"
        "for i in range(3): jax.jit(lambda x: x + i)(1.0)"
    )
    done = process(code=code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_closed_streams_are_no_traceback():
    code = "import os; os.close(1); from m3jax.cli import main; main()"
    done = process("laws", code=f"import os, sys; sys.stdout = None; {code}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def hostile(here):
    """A fit of languages whose names would move the cursor, turn the text or be formulas."""
    runs = pd.read_csv("runs.csv")
    names = {"language0000": ESCAPES, "language0001": f"=SUM(1){TURNED}"}
    runs.assign(language=runs.language.map(names)).to_csv("odd.csv", index=False)
    return ok("fit", "odd.csv", *SMALL, "-o", "odd.json")


def obeyed(text):
    return [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c in TURNED[3:])
            and c not in "def"]  # fmt: skip


def test_names_are_told_and_not_obeyed(hostile):
    assert r"\x1b[31mred\x9b2J" in hostile.out
    assert r"=SUM(1)abc\u202edef\u2066" in hostile.out
    again = ok("fit", "odd.csv", *SMALL, "--json")
    missing = call("predict", "odd.json", "-l", "\x1b[2J\u202e", "--n-params", "1e8",
                   "--target-tokens", "1e8", "--epochs", 1)  # fmt: skip
    assert missing.code == 2
    for text in (hostile.out, hostile.err, again.out, missing.err):
        assert obeyed(text) == []
    assert set(again.json["languages"]) == {ESCAPES, f"=SUM(1){TURNED}"}


def test_names_in_recipes_are_no_formulas(hostile):
    ok("optimize", "odd.json", "-c", "3e19", "-t", "1e8", "--recipes", "recipes.csv")
    text = Path("recipes.csv").read_text(encoding="utf-8")
    assert "\n'=SUM(1)" in text
    assert "\n=" not in text


@pytest.mark.slow
def test_run_takes_any_name(here):
    """Longer than a file's may be, alike but for case, and not to be shown as they are."""
    runs = pd.read_csv("runs.csv")
    first, second = (runs[runs.language == f"language000{i}"] for i in (0, 1))
    tables = [first.assign(language="ж" * 300), second.assign(language="German"),
              first.assign(language="german"), second.assign(language=f"<b>{TURNED}")]  # fmt: skip
    pd.concat(tables).to_csv("names.csv", index=False)
    text = Path("study.toml").read_text(encoding="utf-8").replace("runs.csv", "names.csv")
    Path("names.toml").write_text(text, encoding="utf-8")
    ok("run", "names.toml", "-o", "names", "--figures", "png")
    written = files(Path("names"))
    assert len({name.casefold() for name in written}) == len(written)
    assert sum(name.startswith("residuals_") and name[10].isdigit() for name in written) == 4
    page = Path("names/report.html").read_text(encoding="utf-8")
    assert obeyed(page) == []
    assert r"\u003cb>abc\\u202edef\\u2066" in page
    export = ("--export", "megatron", "--batch-size", 8, "--sequence-length", 512)
    ok("optimize", "names/fits.json", "-c", "3e19", "-t", "1e8", *export, "--export-to", "plans")
    exported = files(Path("plans"))
    assert len({name.casefold() for name in exported}) == len(exported)


def test_places_are_checked_before_the_work(here, monkeypatch):
    """Nothing is read: the fits and tables named here do not exist."""
    point = ("-c", "1e20", "-t", "1e8")
    for line in (
        ("fit", "none.csv", "-o", "runs.csv/fits.json"),
        ("fit", "none.csv", "-o", f"{'n' * 300}.json"),
        ("fit", "none.csv", "-o", f"{'n' * 245}.json"),
        ("compare", "none.csv", "--report", "runs.csv/page.html"),
        ("optimize", "none.json", *point, "--recipes", "runs.csv/r.csv"),
        ("optimize", "none.json", *point, "--export", "csv", "--export-to", "runs.csv"),
        ("map", "none.json", "-c", "1e18,1e20", "-t", "1M,1B", "-o", "runs.csv"),
        ("next", "none.json", "--budget", "1e18", "-o", "runs.csv/sheet.csv"),
        ("run", "study.toml", "-o", "runs.csv"),
    ):
        result = call(*line)
        assert result.code == 2
        assert "cannot be written" in result.err, line
        assert "none" not in result.err
    Path("taken.json").mkdir()
    assert "is a folder" in call("fit", "none.csv", "-o", "taken.json").err
    os.mkfifo("pipe.csv")
    assert "device or pipe" in call("next", "none.json", "--budget", "1e18", "-o", "pipe.csv").err
