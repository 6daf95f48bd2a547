"""The command line: what it prints and writes, exit codes, one line for every mistake."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Fits, M3Error, Recipe, list_laws

from ..conftest import call, ok

SMALL = ("--law", "chinchilla", "--starts", 2, "--draws", 2)
LANGUAGES = ("language0000", "language0001")

CONFIG = """
title = "A small study"
output = "{output}"
[runs]
path = "runs.csv"
[fit]
law = "chinchilla"
starts = 2
draws = 2
[compare]
laws = ["chinchilla"]
holdouts = ["compute", "two-stage"]
[optimize]
compute = 3e19
target_tokens = [1e8, 3e8]
"""


def process(*arguments, code: str = "from m3jax.cli import main; main()", **options):
    """`m3jax` with these arguments, in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 300} | options
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, text=True, check=False, **options)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """Compiled code goes to a folder of the tests; JAX's settings are put back afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        compilation_cache.reset_cache()
        yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run table, a fit of it and a configuration."""
    folder = tmp_path_factory.mktemp("home")
    runs = run_table(true_theta(2, 3), 24, 0.003, 5)
    runs.to_frame().to_csv(folder / "runs.csv", index=False)
    ok("fit", folder / "runs.csv", *SMALL, "-o", folder / "fits.json")
    (folder / "study.toml").write_text(CONFIG.format(output="out"), encoding="utf-8")
    return folder


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    """A folder of the test's own with the same files, to work in."""
    for path in home.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# fit


def test_fit_prints_a_table_and_writes_the_fits(here):
    result = ok("fit", "runs.csv", *SMALL, "-o", "new/fits.json")
    for word in (*LANGUAGES, "R²", "chinchilla", "runs.csv", "90% interval", "alpha", "ok"):
        assert word in result.out
    assert result.err.split() == ["written:", "new/fits.json,", "new/fits.npz"]
    assert files(here / "new") == {"fits.json", "fits.npz"}
    fits = Fits.load(here / "new" / "fits.json")
    assert fits.languages == LANGUAGES
    assert f"{fits.r2[0]:.4f}" in result.out
    assert f"{fits.coefficients(LANGUAGES[1])['alpha']:.6g}" in result.out
    again = Fits.load(here / "fits.json")
    np.testing.assert_array_equal(fits.theta, again.theta)
    np.testing.assert_array_equal(fits.draws, again.draws)


def test_fit_as_json_prints_one_document(here):
    result = ok("fit", "runs.csv", *SMALL, "--json")
    content = json.loads((here / "fits.json").read_text(encoding="utf-8"))
    del content["arrays"]
    assert result.json == content
    assert result.err == ""


def test_fit_reads_other_names_and_units(here):
    frame = pd.read_csv("runs.csv")
    frame["params"] = frame.pop("n_params") / 1e6
    frame["val_loss"] = frame.pop("loss") / np.log(2)
    frame["target_tokens"] /= 1000
    frame.to_csv("other.csv", index=False)
    named = ("--map", "n_params=params, loss=val_loss")
    units = ("--units", "n_params=M,loss=bits,target_tokens=1000")
    content = ok("fit", "other.csv", *named, *units, *SMALL, "--json").json
    plain = Fits.load("fits.json")
    for i, name in enumerate(LANGUAGES):
        entry = content["languages"][name]
        assert entry["objective"] == pytest.approx(plain.objective[i], rel=1e-4)
        low, high = plain.scopes[i].ranges["n_params"]
        assert entry["runs"]["ranges"]["n_params"] == pytest.approx([low, high])


def test_fit_holds_and_drops_what_it_is_told(here):
    told = ("--fix", "alpha=0.35, B=2K", "--drop-highest", 2, "--level", 0.5, "--seed", 3)
    tune = ("--huber-delta", 0.01, "--prior", "none")
    content = ok("fit", "runs.csv", *SMALL, *told, *tune, "--json").json
    entries = content["languages"].values()
    for entry in entries:
        assert entry["coefficients"]["alpha"]["value"] == pytest.approx(0.35)
        assert entry["coefficients"]["B"]["value"] == pytest.approx(2000)
        assert entry["coefficients"]["B"]["frozen"]
        assert not entry["coefficients"]["A"]["frozen"]
    assert sum(entry["n_runs"] for entry in entries) == 46
    settings = content["settings"]
    expected = {"level": 0.5, "seed": 3, "huber_delta": 0.01, "prior": "none", "draws": 2}
    assert {name: settings[name] for name in expected} == expected
    assert "2 runs with the highest loss dropped" in settings["notes"][0]
    assert "2 runs with the highest loss dropped" in ok(
        "fit", "runs.csv", *SMALL, *told, *tune
    ).out.replace("\n", " ")


def test_names_are_printed_as_they_are(here):
    frame = pd.read_csv("runs.csv")
    frame["language"] = frame["language"].replace(LANGUAGES[0], "[bold]Íslenska[/bold]")
    frame.to_csv("odd.csv", index=False)
    assert "[bold]Íslenska[/bold]" in ok("fit", "odd.csv", *SMALL).out


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_no_language_to_fit_is_a_failure(here, json_too):
    frame = pd.read_csv("runs.csv")
    frame[frame.index % 24 < 3].to_csv("few.csv", index=False)
    before = files(here)
    result = call("fit", "few.csv", *SMALL, "-o", "few.json", *json_too)
    assert result.code == 2
    assert result.err.startswith("m3jax: error: no language could be fitted; 'language0000': too")
    assert result.err.count("\n") == 1
    assert files(here) == before
    if json_too:
        assert {v["status"] for v in result.json["languages"].values()} == {"not fitted"}
    else:
        assert result.out.count("not fitted") == 2


def test_a_language_that_cannot_be_fitted_leaves_the_others(here):
    frame = pd.read_csv("runs.csv")
    rare = frame.head(2).assign(language="rare")
    pd.concat([frame, rare]).to_csv("three.csv", index=False)
    result = ok("fit", "three.csv", *SMALL, "-o", "three.json")
    assert result.out.count("not fitted") == 1
    assert "rare: too few runs: 2" in result.out
    fits = Fits.load("three.json")
    assert fits.languages == LANGUAGES
    assert list(fits.failed) == ["rare"]


# predict


PREDICT = ("predict", "fits.json", "--target-tokens", "100M", "--epochs", "4")


def test_predict_gives_what_the_fits_give(here):
    values = ("--n-params", "10M,0.1B, 1e9", "--target-ratio", "0.25", "--final-ratio", "0.5")
    rows = ok(*PREDICT, *values, "--json").json
    assert [(row["language"], row["n_params"]) for row in rows] == [
        (name, n) for name in LANGUAGES for n in (1e7, 1e8, 1e9)
    ]
    fits = Fits.load("fits.json")
    recipe = Recipe.create(
        n_params=np.array([1e7, 1e8, 1e9]),
        target_tokens=1e8,
        epochs=4.0,
        target_ratio=0.25,
        final_ratio=0.5,
    )
    expected = np.concatenate([fits.predict(recipe, name) for name in LANGUAGES])
    drawn = np.concatenate([fits.predict_draws(recipe, name) for name in LANGUAGES], axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    assert [row["loss"] for row in rows] == pytest.approx(expected)
    assert [row["loss_low"] for row in rows] == pytest.approx(low)
    assert [row["loss_high"] for row in rows] == pytest.approx(high)
    assert {(row["target_tokens"], row["epochs"], row["first_ratio"]) for row in rows} == {
        (1e8, 4.0, 0.0)
    }
    assert rows[0]["compute"] == pytest.approx(6 * 1e7 * 4e8 / 0.25)


def test_predict_prints_a_row_a_recipe(here):
    result = ok(*PREDICT, "--n-params", "10M,20M", "--language", LANGUAGES[1])
    assert result.err == ""
    assert LANGUAGES[0] not in result.out
    assert result.out.count(LANGUAGES[1]) == 2
    assert "10.0M" in result.out
    assert "100M" in result.out


def test_predict_without_draws_has_no_intervals(here):
    ok("fit", "runs.csv", "--law", "chinchilla", "--starts", 2, "--draws", 0, "-o", "point.json")
    arguments = (PREDICT[0], "point.json", *PREDICT[2:], "--n-params", "10M")
    for row in ok(*arguments, "--json").json:
        assert row["loss_low"] is row["loss_high"] is None
    assert "–" in ok(*arguments).out


# optimize


OPTIMIZE = ("optimize", "fits.json", "--target-tokens", "100M,3e8")


def test_optimize_gives_records_and_files(here):
    written = ("--recipes", "new/recipes.csv", "--plan", "plan.json")
    result = ok(*OPTIMIZE, "-c", "1e6,3e19", *written, "--json")
    assert result.err == ""
    records = result.json
    assert len(records) == 8
    assert [row["feasible"] for row in records] == [False, False, True, True] * 2
    assert all("compute" in row["infeasible"] for row in records if not row["feasible"])
    with open("new/recipes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, records, strict=True):
        assert list(row) == list(record)
        assert row["loss"] == ("" if record["loss"] is None else repr(record["loss"]))
    plan = json.loads(Path("plan.json").read_text(encoding="utf-8"))
    assert len(plan["plans"]) == len(plan["infeasible"]) == 4


def test_optimize_exports_plans_for_trainers(here):
    batch = ("--batch-size", 64, "--sequence-length", 1024)
    data = ("--target-data", "corpora/{language}", "--source-data", "corpora/english")
    told = ok(*OPTIMIZE, "-c", "3e19", "--export", "megatron", *batch, *data, "--plan", "p.json")
    written = files(here / "export")
    assert len(written) == 8  # two languages, two corpus sizes, blend and arguments
    assert told.out.endswith("written to export: language0000_3e19_1e08_stage1.json and 7 more\n")
    blend = json.loads(Path("export", "language0001_3e19_1e08_stage1.json").read_text())
    assert blend["train"][1::2] == ["corpora/language0001"]
    content = json.loads(Path("p.json").read_text(encoding="utf-8"))
    assert content["batch"] == {"size": 64, "sequence_length": 1024}
    assert content["plans"][2]["totals"]["steps"] * 64 == int(blend["train"][0])
    result = ok(*OPTIMIZE, "-c", "3e19", "--export", "csv", "--export-to", "new", "--json")
    assert len(result.json) == 4
    assert files(here / "new") == {"plan.csv"}


@pytest.mark.slow
def test_optimize_keeps_the_bounds(here):
    bounds = ("--n-params", "20M,30M", "--epochs", "2,3", "--max-total-tokens", "1B")
    more = ("--draws", 2, "--level", 0.5, "--max-source-tokens", "1T", "--first-share", 0.1)
    more += ("--target-ratio", "0.5,1", "--final-ratio", "0.5,1", "--stage-fraction", "0.1,0.5")
    for row in ok(*OPTIMIZE, "--compute", "3e19", *bounds, *more, "--json").json:
        assert 2e7 <= row["n_params"] <= 3e7 * (1 + 1e-9)
        assert 2 * (1 - 1e-9) <= row["epochs"] <= 3 * (1 + 1e-9)
        assert row["total_tokens"] <= 1e9 * (1 + 1e-9)
        assert row["loss_low"] <= row["loss_high"]


def test_optimize_prints_a_table_a_language(here):
    result = ok(*OPTIMIZE, "-c", "1e6,3e19")
    for name in LANGUAGES:
        assert f"Best recipes for {name}" in result.out
    assert "monolingual" in result.out
    assert "none allowed" in result.out
    assert "no recipe: compute" in result.out
    assert "target_ratio held at 1: law chinchilla does not see it" in result.out
    assert result.err == ""


def test_tables_fit_a_terminal_of_80_columns(here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in (
        (*OPTIMIZE, "-c", "1e18,3e19"),
        (*PREDICT, "--n-params", "10M,1B"),
    ):
        table = [line for line in ok(*command).out.splitlines() if "note:" not in line]
        assert "…" not in "".join(table)
        assert max(map(len, table)) <= 80


# laws, help, start-up


def test_laws_are_listed():
    rows = ok("laws", "--json").json
    assert tuple(row["name"] for row in rows) == list_laws()
    assert all({"formula", "source", "coefficients", "published"} <= set(row) for row in rows)
    text = ok("laws").out
    for row in rows:
        assert row["name"] in text
        assert row["formula"] in text


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


# Mistakes


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
    "table of another format": (("fit", "runs.xlsx"), "expected one of .csv"),
    "table cut short": (("fit", "cut.csv"), "cut.csv"),
    "table with ragged rows": (("fit", "ragged.csv"), "ragged.csv: broken or truncated CSV"),
    "bad cell": (("fit", "cell.csv"), "row 1, column 'loss': found 'low'"),
    "unknown law": ((*FIT, "--law", "m4"), "unknown law 'm4'; known laws: m3"),
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
        "schema version 99, this m3jax reads version 1",
    ),
    "fits cut short": (("predict", "cut.json", *POINT[2:], 1), "perhaps cut short"),
    "fits without arrays": (("predict", "alone.json", *POINT[2:], 1), "needs its arrays"),
    "no fits at all": (("predict", "runs.csv", *POINT[2:], 1), "not valid JSON"),
    "a number in words": ((*POINT, "many"), "--n-params: expected a number such as 2500"),
    "a suffix alone": ((*POINT, "M"), "--n-params: expected a number"),
    "an empty list": ((*POINT, ""), "--n-params: expected a number"),
    "not a finite number": ((*POINT, "nan"), "n_params: expected positive finite numbers"),
    "a long list with a bad number": ((*POINT, "1," * 30 + "-1"), "n_params: expected positive"),
    "lists of different lengths": (
        (*POINT, "1M,2M", "--target-ratio", "0.1,0.2,0.3"),
        "n_params: expected 1 or 3 values, as many as the longest list, got 2",
    ),
    "ratio above one": ((*POINT, "1M", "--target-ratio", 2), "target_ratio: expected 0 < r <= 1"),
    "unknown language": ((*POINT, "1M", "-l", "xx"), "unknown language 'xx'; fitted: language0000"),
    "budget too small": ((*OPTIMIZE, "-c", "1e6"), "no recipe is allowed: compute: the least"),
    "budget that is no number": ((*OPTIMIZE, "-c", "1e20,lots"), "--compute: expected a number"),
    "negative budget": ((*OPTIMIZE, "-c", "-1"), "compute: expected positive"),
    "bounds that are no pair": ((*OPTIMIZE, "-c", 1e20, "--epochs", 3), "--epochs: expected LOW"),
    "bounds the wrong way round": ((*OPTIMIZE, "-c", 1e20, "--epochs", "5,1"), "epochs: expected"),
    "bounds on what is held": (
        (*OPTIMIZE, "-c", 1e20, "--target-ratio", "0.1,0.5"),
        "exclude the only target_ratio that the runs tell about",
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
    head = "n_params,target_tokens,epochs,loss\n"
    contents = {
        "cut.csv": head + '1e8,1e8,1,"3.',
        "ragged.csv": head + "1e8,1e8,1,3\n1e8,1e8,2,3,4,5\n",
        "cell.csv": head + "1e8,1e8,1,low\n",
        "cut.json": text[:300],
        "alone.json": text.replace("fits.npz", "alone.npz"),
        "version.json": text.replace('"schema_version": 1', '"schema_version": 99'),
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


def test_a_mistake_seen_from_outside(here):
    done = process("fit", "nothing.csv")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == ("m3jax: error: nothing.csv: cannot be read: No such file or directory\n")


def test_results_and_messages_go_different_ways(here):
    done = process("fit", "runs.csv", *SMALL, "-o", "new.json", "--json")
    assert done.returncode == 0
    content = json.loads(Path("new.json").read_text(encoding="utf-8"))
    del content["arrays"]
    assert json.loads(done.stdout) == content


def test_a_reader_that_goes_away_gets_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = process("laws", stdout=write)
    os.close(write)
    assert done.stderr == ""


def test_an_interrupt_is_one_line(here, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("m3jax.pipeline.read_config", interrupt)
    result = call("run", "study.toml")
    assert result.code == 130
    assert result.err.strip() == "m3jax: error: interrupted"


# The compiled code


def test_compiled_code_is_kept_where_the_user_keeps_caches(cache, home, monkeypatch):
    assert jax.config.jax_compilation_cache_dir == str(cache / "m3jax" / "xla")
    assert any((cache / "m3jax" / "xla").iterdir())
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "unused"))
    ok(PREDICT[0], home / "fits.json", *PREDICT[2:], "--n-params", "10M")
    assert jax.config.jax_compilation_cache_dir == str(cache / "m3jax" / "xla")
    assert not (home / "unused").exists()


def test_a_cache_that_cannot_be_written_costs_nothing_else(here, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "runs.csv"))
    assert "10.0M" in ok(*PREDICT, "--n-params", "10M").out


# run


@pytest.fixture(scope="module")
def study(home, tmp_path_factory):
    """`m3jax run` on a small configuration: what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("study")
    return ok("run", home / "study.toml", "-o", folder), folder


def test_run_writes_everything(study):
    _, folder = study
    kinds = ("recipes", "residuals", "surface")
    pictures = {f"{kind}_{i}_language000{i}.png" for i in (0, 1) for kind in kinds}
    tables = {"fits.json", "fits.npz", "scores.json", "recipes.csv", "plan.json", "report.html"}
    compared = {"parity", "residuals", "distance"}
    pictures |= {f"{kind}_{h}.png" for kind in compared for h in ("compute", "two-stage")}
    assert files(folder) == tables | pictures | {"fit_quality.png"}
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    fits = Fits.load(folder / "fits.json")
    assert fits.languages == LANGUAGES
    assert fits.settings["starts"] == 2
    with open(folder / "recipes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["language"], float(row["target_tokens"])) for row in rows] == [
        (name, size) for name in LANGUAGES for size in (1e8, 3e8)
    ]
    assert all(float(row["loss"]) > 0 for row in rows)
    assert len(json.loads((folder / "plan.json").read_text(encoding="utf-8"))["plans"]) == 4
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert [score["holdout"] for score in scores] == ["compute"] * 2 + ["two-stage"] * 2


def test_the_report_needs_no_other_file(study):
    text = (study[1] / "report.html").read_text(encoding="utf-8")
    assert "A small study" in text
    assert all(name in text for name in LANGUAGES)
    assert text.count('src="data:image/png;base64,') == 13
    text = re.sub(r"base64,[^\"]*", "base64", text)
    links = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", text)
    assert all(link.startswith("data:") for link in links)
    assert "<script" not in text


def test_run_prints_fits_scores_recipes_and_files(study):
    result, folder = study
    for words in (
        "Law chinchilla",
        "What the runs of runs.csv tell law chinchilla",
        "Held-out runs: compute",
        "Held-out runs: two-stage",
        "Best recipes for language0001",
        f"written to {folder}: fits.json",
        "report.html",
    ):
        assert words in result.out
    assert result.err == ""


@pytest.mark.slow
def test_run_as_json(here, study):
    result = ok("run", "study.toml", "--json")
    assert result.err == ""
    content = result.json
    assert set(content) == {"recipes", "scores", "files"}
    assert len(content["recipes"]) == 4
    folder = study[1]
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert content["scores"] == scores
    assert {Path(name).name for name in content["files"]} == files(folder)
    assert {str(Path(name).parent) for name in content["files"]} == {"out"}
    assert files(Path("out")) == files(folder)
    for name in ("recipes.csv", "plan.json", "fits.json", "fit_quality.png"):
        assert Path("out", name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
def test_run_without_a_comparison(here):
    text = re.sub(r"\[compare\][^\[]*\[[^\]]*\][^\[]*\[[^\]]*\]", "", CONFIG)
    Path("plain.toml").write_text(text.format(output="plain"), encoding="utf-8")
    content = ok("run", "plain.toml", "--json").json
    assert content["scores"] == []
    assert json.loads(Path("plain/scores.json").read_text(encoding="utf-8")) == []


def test_run_says_why_no_language_could_be_fitted(here):
    lines = Path("runs.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("few.csv").write_text("".join(lines[:4]), encoding="utf-8")
    text = CONFIG.format(output="few").replace("runs.csv", "few.csv")
    Path("few.toml").write_text(text, encoding="utf-8")
    result = call("run", "few.toml")
    assert result.code == 2
    assert "too few runs" in result.err
    assert not Path("few").exists()


def test_without_matplotlib_run_says_what_to_install(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("run", "study.toml")
    assert result.code == 2
    assert result.out == ""
    assert result.err == "m3jax: error: figures need matplotlib: pip install 'm3jax[plot]'\n"
    assert not Path("out").exists()
