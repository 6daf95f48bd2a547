"""How commands read a run table, and that a fit keeps it for the commands that follow."""

import json

import pandas as pd
import pytest

from m3jax import Fits, RunTable

from ..conftest import call, ok

QUICK = ("--law", "chinchilla", "--engine", "host", "--starts", 1, "--draws", 0)
MAP = ("--map", "loss=Loss, eval (nats),n_params=size", "--map", "run_id=name+try")
ROWS = ("--units", "n_params=M", "--where", "state=done", "--where", "size<1e9", "--keep-best")
MORE = ("--skip-incomplete", "--drop-highest", 1)


@pytest.fixture
def export(here):
    """The runs as a tracker would export them: other names, a crash, a blank, and all twice."""
    runs = pd.read_csv("runs.csv").rename(columns={"loss": "Loss, eval (nats)", "n_params": "size"})
    runs = runs.drop(columns="run_id").assign(name=runs.index.astype(str), state="done", size=lambda
        table: table["size"] / 1e6)  # fmt: skip
    worse = runs.assign(**{"Loss, eval (nats)": runs["Loss, eval (nats)"] + 0.5})
    table = pd.concat([runs.assign(**{"try": 1}), worse.assign(**{"try": 2})], ignore_index=True)
    table.loc[3, "state"] = table.loc[51, "state"] = "crashed"
    table.loc[5, "Loss, eval (nats)"] = float("nan")
    table.to_csv("export.csv", index=False)
    return here


def test_a_fit_keeps_how_its_table_was_read(export):
    said = ok("fit", "export.csv", *QUICK, *MAP, *ROWS, *MORE, "-o", "mapped.json").out
    bad = "'Loss, eval (nats)' is not a finite number"
    for note in (
        "where state=done: 2 of 96 rows left out (rows 4, 52)",
        "where size<1e9: 0 of 94 rows left out",
        f"skip_incomplete: 1 of 94 rows left out (row 6: {bad})",
        "keep_best: 46 of 93 rows left out",
        "drop_highest: 1 of 47 rows left out",
    ):
        assert note in " ".join(said.split())
    reading = Fits.load("mapped.json").settings["reading"]
    assert reading == {
        "columns": {"loss": "Loss, eval (nats)", "n_params": "size", "run_id": "name+try"},
        "units": {"n_params": "M"},
        "where": ["state=done", "size<1e9"],
        "skip_incomplete": True,
        "keep_best": True,
        "drop_highest": 1,
    }
    runs = RunTable.read("export.csv", **reading)
    assert runs.run_id[0] == "0+1"
    assert len(runs) == 46
    typed = ok("diagnose", "mapped.json", "export.csv", *MAP, *ROWS, *MORE, "--json").json
    assert ok("diagnose", "mapped.json", "export.csv", "--json").json == typed
    # What is given comes before what the fit was made with.
    refused = call("diagnose", "mapped.json", "export.csv", "--drop-highest", 0)
    assert refused.code == 2
    assert "runs, the fit was made from" in refused.err
    refused = call("diagnose", "mapped.json", "export.csv", "--map", "loss=los")
    assert "did you mean 'Loss, eval (nats)'" in refused.err
    refused = call("diagnose", "mapped.json", "runs.csv")
    assert "'loss' is mapped to 'Loss, eval (nats)'" in refused.err
    assert "are those of the fit; flags given here come first" in refused.err


@pytest.mark.slow
def test_a_configuration_reads_the_same(export):
    text = (export / "study.toml").read_text()
    rows = (
        '[runs]\npath = "export.csv"\nskip_incomplete = true\nkeep_best = true\nwhere = "try=1"\n'
    )
    rows += (
        'columns = { loss = "Loss, eval (nats)", n_params = "size" }\nunits = {n_params = "M"}\n'
    )
    text = text.replace('[runs]\npath = "runs.csv"\n', rows)
    (export / "rows.toml").write_text(text)
    ok("run", "rows.toml")
    settings = json.loads((export / "out" / "fits.json").read_text())["settings"]
    assert settings["reading"]["where"] == ["try=1"]
    assert any(note.startswith("skip_incomplete: 1 of 48") for note in settings["notes"])
    assert "where = (try=1)" in (export / "out" / "report.html").read_text()
    ok("diagnose", "out/fits.json", "export.csv")


def test_compare_takes_the_same_flags(export):
    options = ("--laws", "chinchilla", "--starts", 1)
    flags = (*MAP, *ROWS, *MORE)
    said = ok("compare", "export.csv", *options, *flags).out
    assert "keep_best: 46 of 93 rows left out" in " ".join(said.split())
    # or those of a fit
    ok("fit", "export.csv", *QUICK, *flags, "-o", "mapped.json")
    typed = ok("compare", "export.csv", *options, *flags, "--json").json
    assert ok("compare", "export.csv", *options, "--like", "mapped.json", "--json").json == typed
    refused = call("compare", "export.csv", *options, *MAP, "--where", "siz=1")
    assert "where: 'siz' is not among the columns" in refused.err
    assert "did you mean 'size'" in refused.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--map", "loss"), "--map: expected NAME=COLUMN,…, found 'loss'"),
        (("--map", "loss=a", "--map", "loss=b"), "--map: 'loss' is given twice"),
        (("--units", "loss=bits", "--units", "loss=nats"), "--units: 'loss' is given twice"),
        (("--where", "State"), "expected COLUMN=VALUE"),
        (("--map", "los=x"), "unknown name 'los' (did you mean 'loss'?)"),
    ],
)
def test_what_cannot_be_read(here, flags, words):
    refused = call("fit", "runs.csv", *flags)
    assert refused.code == 2
    assert words in refused.err
