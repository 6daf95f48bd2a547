"""Around the commands: help, exit codes, one line for every mistake, compiled code."""

import json
import os
import re
from pathlib import Path

import jax
import pytest

from m3jax import M3Error
from m3jax.fitting.fit_file import signed

from ..conftest import ROOT, call, ok
from .conftest import CONFIG, SMALL, files, process
from .test_optimize import OPTIMIZE
from .test_predict import PREDICT


def test_version_and_help():
    assert re.fullmatch(r"m3jax \d+\.\d+\.\S+\n", ok("--version").out)
    for name in ("", "fit", "predict", "diagnose", "compare", "optimize", "run", "laws"):
        command = (name,) if name else ()
        text = ok(*command, "--help").out
        assert "Usage" in text
        assert "--json" in text or not command
    bare = call()
    assert bare.code == 2
    assert "Usage" in bare.out
    assert bare.err == ""


@pytest.mark.parametrize("arguments", [("--help",), ("fit", "--help"), ("nonsense",)])
def test_start_up_imports_nothing_heavy(arguments):
    heavy = ("jax", "numpy", "pandas", "optax", "matplotlib", "rich.progress")
    code = f"""
import sys
from m3jax.cli import main
try:
    main()
except SystemExit:
    pass
print([name for name in {heavy} if name in sys.modules])
"""
    assert process(*arguments, code=code).stdout.splitlines()[-1] == "[]"


FIT = ("fit", "runs.csv", *SMALL)


POINT = (*PREDICT, "--n-params")


MISTAKES = {
    "unknown command": (("bogus",), "bogus"),
    "unknown option": (("fit", "runs.csv", "--bogus", "1"), "--bogus"),
    "option without a value": (("fit", "runs.csv", "--law"), "--law"),
    "one argument too many": (("laws", "extra"), "extra"),
    "no table": (("fit",), "TABLE"),
    "no option": (PREDICT, "--n-params"),
    "missing table": (("fit", "nothing.csv"), "nothing.csv: cannot be read"),
    "table of another format": (("fit", "runs.ods"), "expected one of .csv"),
    "table cut short": (("fit", "cut.csv"), "cut.csv"),
    "table with ragged rows": (
        ("fit", "ragged.csv"),
        "ragged.csv, row 2: found 6 cells, expected 4",
    ),
    "bad cell": (("fit", "cell.csv"), "row 1, column 'loss': found 'low'"),
    "unknown law": ((*FIT, "--law", "m4"), "unknown law 'm4'; known: m3"),
    "unknown coefficient": ((*FIT, "--fix", "zz=1"), "no coefficient 'zz'"),
    "coefficient without a value": ((*FIT, "--fix", "alpha"), "--fix: expected NAME=VALUE"),
    "coefficient that is no number": ((*FIT, "--fix", "alpha=x"), "--fix alpha: expected a number"),
    "coefficient given twice": ((*FIT, "--fix", "B=1,B=2"), "--fix: 'B' is given twice"),
    "column that is not there": ((*FIT, "--map", "loss=nll"), "'loss' is mapped to 'nll'"),
    "unknown unit": ((*FIT, "--units", "loss=furlong"), "unknown unit 'furlong'"),
    "too many to drop": ((*FIT, "--drop-highest", 48), "drop_highest: expected 0 to 47"),
    "starts that are no number": ((*FIT, "--starts", "many"), "--starts"),
    "no starts": ((*FIT, "--starts", 0), "starts: expected a whole number >= 1, got 0"),
    "level": ((*FIT, "--level", 1), "level"),
    "prior": ((*FIT, "--prior", "strong"), "prior"),
    "fits of another ending": ((*FIT, "-o", "fits.txt"), "fits.txt: expected a file name ending"),
    "fits where no folder can be": ((*FIT, "-o", "runs.csv/fits.json"), "cannot be written"),
    "missing fits": (("optimize", "no.json", "-c", 1, "-t", 1), "no.json: no such file"),
    "fits of another version": (
        ("optimize", "version.json", "-c", 1, "-t", 1),
        "schema version 99, this m3jax reads version 3",
    ),
    "fits cut short": (("predict", "cut.json", *POINT[2:], 1), "perhaps cut short"),
    "fits without arrays": (("predict", "alone.json", *POINT[2:], 1), "needs its arrays"),
    "no fits at all": (("predict", "runs.csv", *POINT[2:], 1), "not valid JSON"),
    "a number in words": ((*POINT, "many"), "--n-params: expected a number such as 2500"),
    "a suffix alone": ((*POINT, "M"), "--n-params: expected a number"),
    "an empty list": ((*POINT, ""), "--n-params: expected a number"),
    "not a finite number": ((*POINT, "nan"), "--n-params: expected positive finite numbers"),
    "a long list with a bad number": ((*POINT, "1," * 30 + "-1"), "--n-params: expected positive"),
    "lists of different lengths": (
        (*POINT, "1M,2M", "--target-ratio", "0.1,0.2,0.3"),
        "--n-params: expected 1 or 3 values, as many as the longest list, got 2",
    ),
    "ratio above one": ((*POINT, "1M", "--target-ratio", 2), "--target-ratio: expected 0 < r <= 1"),
    "unknown language": ((*POINT, "1M", "-l", "xx"), "unknown language 'xx'; known: language0000"),
    "budget too small": ((*OPTIMIZE, "-c", "1e6"), "no recipe is allowed: compute: the least"),
    "budget that is no number": ((*OPTIMIZE, "-c", "1e20,lots"), "--compute: expected a number"),
    "negative budget": ((*OPTIMIZE, "-c", "-1"), "compute: expected positive"),
    "bounds that are no pair": ((*OPTIMIZE, "-c", 1e20, "--epochs", 3), "--epochs: expected LOW"),
    "bounds the wrong way round": (
        (*OPTIMIZE, "-c", 1e20, "--epochs", "5,1"),
        "--epochs: expected",
    ),
    "bounds on what is held": (
        (*OPTIMIZE, "-c", 1e20, "--target-ratio", "0.1,0.5"),
        "--target-ratio 0.1,0.5: law chinchilla does not see target_ratio",
    ),
    "recipes where no folder can be": (
        (*OPTIMIZE, "-c", 3e19, "--recipes", "runs.csv/r.csv", "--plan", "plan.json"),
        "runs.csv/r.csv: cannot be written",
    ),
    "unknown export format": (
        (*OPTIMIZE, "-c", 3e19, "--export", "nemo"),
        "unknown export format 'nemo', expected one of: json, csv, megatron",
    ),
    "steps without a batch": (
        (*OPTIMIZE, "-c", 3e19, "--export", "mosaic"),
        "export format 'mosaic' needs a batch",
    ),
    "half a batch": (
        (*OPTIMIZE, "-c", 3e19, "--batch-size", 8),
        "--batch-size and --sequence-length: expected both or neither",
    ),
    "batch of nothing": (
        (*OPTIMIZE, "-c", 3e19, "--batch-size", 0, "--sequence-length", 8),
        "batch: size: expected a whole positive number, got 0",
    ),
    "batch larger than the run": (
        (*OPTIMIZE, "-c", 3e19, "--batch-size", 10**9, "--sequence-length", 8192, "--plan", "p"),
        "one step of 8,192,000,000,000 tokens",
    ),
    "export where no folder can be": (
        (*OPTIMIZE, "-c", 3e19, "--export", "csv", "--export-to", "runs.csv"),
        "cannot be written",
    ),
    "missing configuration": (("run", "nothing.toml"), "nothing.toml: no such file"),
    "broken configuration": (("run", "runs.csv"), "runs.csv: not valid TOML"),
    "unknown key": (("run", "key.toml"), "unknown key 'lawz'; did you mean 'law'?"),
    "configuration without its table": (("run", "table.toml"), "other.csv: cannot be read"),
    "configuration with an unknown law": (("run", "law.toml"), "unknown law 'm4'"),
    "configuration nothing can be done for": (("run", "budget.toml"), "no recipe is allowed"),
    "results where no folder can be": (("run", "study.toml", "-o", "runs.csv"), "runs.csv/"),
}


@pytest.fixture
def broken(here):
    """The folder with all that is needed to go wrong."""
    text = Path("fits.json").read_text(encoding="utf-8")
    alone = json.loads(text)
    alone["arrays"]["file"] = "alone.npz"
    head = "n_params,target_tokens,epochs,loss\n"
    contents = {
        "cut.csv": head + '1e8,1e8,1,"3.',
        "ragged.csv": head + "1e8,1e8,1,3\n1e8,1e8,2,3,4,5\n",
        "cell.csv": head + "1e8,1e8,1,low\n",
        "cut.json": text[:300],
        "alone.json": json.dumps(signed(alone)),
        "version.json": text.replace('"schema_version": 3', '"schema_version": 99'),
        "key.toml": CONFIG.replace("law =", "lawz ="),
        "table.toml": CONFIG.replace("runs.csv", "other.csv"),
        "law.toml": CONFIG.replace('laws = ["', 'laws = ["m4", "'),
        "budget.toml": CONFIG.replace("3e19", "1e6"),
    }
    for name, content in contents.items():
        Path(name).write_text(content.replace("{output}", "out"), encoding="utf-8")
    return here


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(broken, name):
    arguments, words = MISTAKES[name]
    before = files(broken)
    result = call(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("m3jax: error: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1
    assert words in result.err
    assert files(broken) == before
    assert not Path("out").exists()


@pytest.mark.slow
def test_debug_shows_where_a_mistake_came_from(here):
    with pytest.raises(M3Error, match=r"nothing\.csv"):
        call("--debug", "fit", "nothing.csv")
    with pytest.raises(M3Error, match=r"nothing\.csv"):
        call("fit", "nothing.csv", "--debug")
    done = process("--debug", "fit", "nothing.csv")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" in done.stderr
    assert "M3Error: nothing.csv" in done.stderr


def test_quiet_is_results_and_errors_alone(here):
    loud = ok("fit", "runs.csv", *SMALL, "-o", "loud.json")
    quiet = ok("fit", "runs.csv", *SMALL, "-o", "quiet.json", "--quiet")
    assert "written" in loud.err
    assert "note:" in loud.out
    assert quiet.err == ""
    results = [line for line in loud.out.splitlines() if not line.startswith("  note:")]
    assert quiet.out.splitlines() == results
    assert ok("-q", "example", "there").out == ""
    assert call("-q", "fit", "nothing.csv").err.startswith("m3jax: error: nothing.csv")
    assert "-q" in ok("--help").out


@pytest.mark.parametrize(
    ("shell", "typed", "found"),
    [
        ("bash", {"COMP_WORDS": "m3jax opt", "COMP_CWORD": "1"}, "optimize"),
        ("bash", {"COMP_WORDS": "m3jax fit --huber", "COMP_CWORD": "2"}, "--huber-delta"),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "m3jax next --unique-t"}, '"--unique-tokens":"Range'),
        ("fish", {"_TYPER_COMPLETE_ARGS": "m3jax sp", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
         "split"),
    ],
)  # fmt: skip
def test_shells_complete_commands_and_options(shell, typed, found):
    env = {**os.environ, **typed, "_M3JAX_COMPLETE": f"complete_{shell}"}
    done = process(env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().split("\t")[0] == found or found in done.stdout


def test_exit_codes_are_those_of_the_documentation(here, monkeypatch):
    page = (ROOT / "docs" / "cli" / "index.md").read_text(encoding="utf-8")
    told = set(map(int, re.findall(r"^\| (\d+) \|", page, re.M)))
    codes = {ok("laws").code, call("fit", "nothing.csv").code}
    monkeypatch.setattr("m3jax.cli.first_steps._doctor._fit", lambda: 1 / 0)
    codes.add(call("doctor").code)
    monkeypatch.setattr("m3jax.laws.list_laws", interrupt)
    codes.add(call("laws").code)
    assert codes == told == {0, 1, 2, 130}


def interrupt(*args):
    raise KeyboardInterrupt


def test_a_mistake_seen_from_outside(here):
    done = process("fit", "nothing.csv")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == ("m3jax: error: nothing.csv: cannot be read: No such file or directory\n")


def test_results_and_messages_go_different_ways(here):
    done = process("fit", "runs.csv", *SMALL, "-o", "new.json", "--json")
    assert done.returncode == 0
    content = json.loads(Path("new.json").read_text(encoding="utf-8"))
    del content["arrays"], content["checksum"]
    assert json.loads(done.stdout) == content


def test_a_reader_that_goes_away_gets_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = process("laws", stdout=write)
    os.close(write)
    assert done.stderr == ""


def test_an_interrupt_is_one_line(here, monkeypatch):
    monkeypatch.setattr("m3jax.pipeline.read_config", interrupt)
    result = call("run", "study.toml")
    assert result.code == 130
    assert result.err.strip() == "m3jax: error: interrupted"


def test_compiled_code_is_kept_where_the_user_keeps_caches(cache, home, monkeypatch):
    assert jax.config.jax_compilation_cache_dir == str(cache / "m3jax" / "xla")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "unused"))
    ok(PREDICT[0], home / "fits.json", *PREDICT[2:], "--n-params", "10M")
    assert jax.config.jax_compilation_cache_dir == str(cache / "m3jax" / "xla")
    assert not (home / "unused").exists()


def test_a_cache_that_cannot_be_written_costs_nothing_else(here, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "runs.csv"))
    assert "10.0M" in ok(*PREDICT, "--n-params", "10M").out
