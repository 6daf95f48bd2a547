"""The recipes of the second pilot: the committed sheet is what the tool makes."""

import pandas as pd
import pytest

from m3jax.pilot import read_pilot_config, recipes_from, seeds_from
from tools import second_pilot

from ..conftest import ROOT

SHEET = ROOT / "configs" / "pilot_debian_2.csv"


@pytest.fixture(scope="module")
def committed() -> pd.DataFrame:
    return pd.read_csv(SHEET)


def test_the_committed_sweeps_are_those_of_the_tool(committed, tmp_path, capsys):
    assert second_pilot.main([str(tmp_path / "sheet.csv")]) == 0
    assert "246 runs" in capsys.readouterr().out
    made = pd.read_csv(tmp_path / "sheet.csv")
    own = committed[committed["sweep"] != "proposed"]
    pd.testing.assert_frame_equal(made, own.reset_index(drop=True))


def test_sheets_are_added_without_runs_that_read_source_twice_or_end_at_once(tmp_path):
    further = tmp_path / "next.csv"
    further.write_text(
        "language,n_params,target_tokens,epochs,target_ratio,final_ratio,first_ratio,total_tokens\n"
        "German,164288,30000,4,0.4,0.4,0.4,300000\n"
        "German,164288,10000,4,0.4,0.4,0.4,100000\n"
        "German,164288,30000,4,0.04,0.04,0.04,3000000\n"
    )
    rows = [row for row in second_pilot.sheet([str(further)]) if row["sweep"] == "proposed"]
    assert [(row["target_tokens"], row["seed"]) for row in rows] == [("30000", 600)]


def test_sweeps_have_what_they_are_for(committed):
    counts = committed.groupby("language").size()
    assert min(counts["German"], counts["Japanese"]) > 1.5 * counts["Indonesian"]
    sweeps = dict(list(committed.groupby("sweep")))
    assert {12, 28, 64} <= set(sweeps["epochs"]["epochs"].round())
    stage = sweeps["stage"]
    fraction = (stage["target_ratio"] - stage["first_ratio"]) / (
        stage["final_ratio"] - stage["first_ratio"]
    )
    assert set(fraction.round(3)) == {0.05, 0.1, 0.2, 0.35, 0.5}
    first = sweeps["first_ratio"]
    alike = first[(first["language"] == "German") & (first["seed"] == 200)]
    assert alike["target_ratio"].nunique() == 1
    assert alike.query("first_ratio < target_ratio")["final_ratio"].round(6).nunique() == 1
    assert sweeps["seeds"].groupby("language").size().to_dict() == dict.fromkeys(counts.index, 4)


def test_the_configuration_takes_it():
    config = read_pilot_config(ROOT / "configs" / "pilot_debian_2.toml")
    assert set(config["targets"]) == set(second_pilot.LANGUAGES)
    for language in config["targets"]:
        seeds = seeds_from(config["recipes"])(language)
        assert len(seeds) == len(recipes_from(config["recipes"])(language).n_params)
