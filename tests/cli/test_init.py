"""`m3jax init`: a configuration that runs as it is."""

import tomllib

import pandas as pd
import pytest

from ..conftest import ROOT, call, ok

PILOT = ROOT / "m3jax" / "data" / "pilot_debian.csv"


@pytest.fixture
def messy(tmp_path, monkeypatch):
    """An export: other names, sizes in millions, a run that did not finish."""
    monkeypatch.chdir(tmp_path)
    table = pd.read_csv(PILOT).query("language == 'German'").rename(columns={"loss": "val loss"})
    table["n_params"] /= 1e6
    table["State"] = "finished"
    table.loc[table.index[3], "State"] = "crashed"
    (tmp_path / "data").mkdir()
    table.to_csv("data/sweep.csv", index=False)
    return tmp_path


READING = (
    *("--map", "loss=val loss", "--units", "n_params=M"),
    *("--where", "State=finished"),
)


def test_the_configuration_says_how_the_table_was_read(messy):
    said = ok("init", "data/sweep.csv", *READING).out
    assert "read: 79 runs" in said
    config = tomllib.loads((messy / "sweep.toml").read_text(encoding="utf-8"))
    assert config["runs"] == {
        "path": "data/sweep.csv",
        "columns": {"loss": "val loss"},
        "units": {"n_params": "M"},
        "where": ["State=finished"],
    }
    assert config["optimize"]["compute"] == [1.5e12, 6e12]
    assert len(config["optimize"]["target_tokens"]) == 2


def test_nothing_is_replaced_unasked(messy):
    (messy / "sweep.toml").write_text("mine")
    refused = call("init", "data/sweep.csv", *READING)
    assert (refused.code, (messy / "sweep.toml").read_text()) == (2, "mine")
    assert "is there already" in refused.err
    ok("init", "data/sweep.csv", *READING, "--overwrite")
    assert "[optimize]" in (messy / "sweep.toml").read_text()
    assert call("init", "data/sweep.csv", *READING, "-o", "x.json").code == 2
    assert "column" in call("init", "data/sweep.csv", "-o", "y.toml").err
    assert not (messy / "y.toml").exists()


@pytest.mark.slow
def test_it_runs_as_it_is(messy):
    ok("init", "data/sweep.csv", *READING)
    ok("run", "sweep.toml")
    assert (messy / "out" / "sweep" / "report.html").exists()
