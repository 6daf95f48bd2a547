"""`m3jax plan` and `m3jax design`, as they are typed."""

import csv

import pytest

from ..conftest import call as run_cli

CASE = ("-c", "1e21", "-t", "2B", "--source-tokens", "1T")


def test_plan_says_what_to_train_and_what_it_rests_on(tmp_path):
    done = run_cli("plan", *CASE, "-l", "Indonesian", "--fits", tmp_path / "fits.json")
    assert done.code == 0
    for words in (
        "for Indonesian.",
        "Rules of thumb beside it",
        "four epochs",
        "What small runs first would be worth",
        "m3jax design -c 1e+21 -t 2e+09 --source-tokens 1e+12",
        "Muennighoff",
        "repeated text: seen up to",
    ):
        assert words in done.out
    again = run_cli("optimize", tmp_path / "fits.json", "-c", "1e20", "-t", "1e8")
    assert again.code == 0
    assert "rests on public run tables: no runs of its own" in again.out


def test_plan_as_json():
    done = run_cli("plan", *CASE, "--json")
    assert done.code == 0
    assert done.json["language"] == "target"
    assert done.json["compute_used"] == pytest.approx(1e21, rel=1e-6)
    assert len(done.json["prospects"]) == 3


def test_design_writes_a_sheet(tmp_path):
    sheet = tmp_path / "sheet.csv"
    done = run_cli("design", *CASE, "--share", "0.002", "-n", 5, "--repeats", 1, "-o", sheet)
    assert done.code == 0
    assert f"m3jax fit {sheet} --prior public" in done.out
    rows = list(csv.DictReader(sheet.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 5
    assert {row["loss"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "-t", "2B"), "--compute"),
        (("plan", "-c", "0", "-t", "2B"), "--compute: expected a positive finite number"),
        (("design", *CASE, "--share", "2"), "--share: expected a number between 0 and 1"),
        (("design", *CASE, "-o", "sheet.doc"), "expected a file name ending in .csv or .json"),
    ],
)
def test_what_is_wrong_is_told_by_its_flag(arguments, message):
    done = run_cli(*arguments)
    assert done.code == 2
    assert message in done.err
