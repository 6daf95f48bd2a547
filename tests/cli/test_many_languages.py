"""`m3jax split`, `m3jax share` and `m3jax worth`: what they print is what Python finds."""

import json
from pathlib import Path

import pytest

from benchmarks.support.recipes import fits_of
from benchmarks.support.synthetic import run_table, true_theta
from m3jax import Fits, compute_gain, loss_given_up, optimize, shared_model, split_budget

from ..conftest import call, ok
from .conftest import LANGUAGES

BUDGET = ("-c", "1e20", "-t", "1e8")


@pytest.fixture
def fits(here):
    return Fits.load("fits.json")


def test_split_is_one_budget_over_the_languages(fits):
    printed = ok("split", "fits.json", *BUDGET, "--json").json
    assert printed == split_budget(fits, compute=1e20, target_tokens=1e8).to_dict()
    assert [row["language"] for row in printed["languages"]] == list(LANGUAGES)
    assert sum(row["compute"] for row in printed["languages"]) == pytest.approx(1e20, rel=1e-6)
    said = ok("split", "fits.json", *BUDGET).out
    assert all(name in said for name in LANGUAGES)
    assert "Weighted mean loss" in said


def test_split_takes_weights_and_corpora_by_language(fits):
    heavy, light = LANGUAGES
    corpora = f"{heavy}=100M,{light}=300M"
    printed = ok(
        "split", "fits.json", "-c", "1e20", "-t", corpora, "--weights", f"{heavy}=3", "--json"
    ).json
    first, second = printed["languages"]
    assert (first["target_tokens"], second["target_tokens"]) == (1e8, 3e8)
    assert first["weight"] == pytest.approx(0.75)


def test_share_is_one_model_for_the_languages(here):
    fits = fits_of(2, 3, "m3")  # a law that sees ratios
    fits.save("m3.json")
    limits = ("--target-ratio", "0.01,1", "--epochs", "0.1,20", "--extrapolate", "100")
    printed = ok("share", "m3.json", *BUDGET, *limits, "--json").json
    shared = shared_model(
        fits,
        compute=1e20,
        target_tokens=1e8,
        target_ratio=(0.01, 1),
        epochs=(0.1, 20),
        extrapolate=100,
    )
    # What holds a recipe is named as the caller wrote it.
    found = json.dumps(shared.to_dict())
    found = found.replace("extrapolate=", "--extrapolate ").replace("(epochs)", "(--epochs)")
    assert printed == json.loads(found)
    assert sum(row["target_ratio"] for row in printed["languages"]) <= 1 + 1e-9
    assert "source text" in ok("share", "m3.json", *BUDGET, *limits).out


def test_worth_says_what_limits_and_regimes_cost(fits):
    (row,) = ok("worth", "fits.json", *BUDGET, "-l", LANGUAGES[0], "--json").json
    best = optimize(fits, compute=1e20, target_tokens=1e8, languages=LANGUAGES[:1], draws=0)
    assert row["loss"] == pytest.approx(float(best.loss[0, 0, 0]), rel=1e-12)
    assert row["lost_monolingual"] == pytest.approx(float(loss_given_up(best)[0, 0, 0, 0]))
    assert row["compute_gain_monolingual"] == pytest.approx(float(compute_gain(best)[0, 0, 0]))
    assert any(sentence.startswith("10% more compute lowers") for sentence in row["prices"])
    assert "10% more compute lowers" in ok("worth", "fits.json", *BUDGET).out


@pytest.mark.slow
def test_worth_says_which_runs_a_recipe_hangs_on(here):
    arguments = ("worth", "fits.json", *BUDGET, "-l", LANGUAGES[0])
    (row,) = ok(*arguments, "--runs", "runs.csv", "--json").json
    assert (row["sway"] is None) == (row["hangs_on"] == [])
    shown = ok(*arguments, "--runs", "runs.csv").out
    assert ("hangs on" in shown) == bool(row["hangs_on"])
    assert ok(*arguments, "--json").json[0]["hangs_on"] == []
    header, _, rest = Path("runs.csv").read_text().split("\n", 2)  # without a run of language 0
    Path("other.csv").write_text(f"{header}\n{rest}")
    result = call(*arguments, "--runs", "other.csv")
    assert (result.code, "the fit was made from" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("split", *BUDGET, "--weights", "Nowhere=2"), "unknown language 'Nowhere'"),
        (("split", "-c", "1e3", "-t", "1e8"), "cannot train all 2 languages"),
        (("share", "-c", "x", "-t", "1e8"), "--compute: expected a number"),
        (
            ("worth", *BUDGET, "--epochs", "2,1"),
            "epochs: expected a pair (low, high) with 0 < low <= high",
        ),
    ],
)
def test_mistakes_are_one_line(here, arguments, message):
    command, *rest = arguments
    result = call(command, "fits.json", *rest)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_of_very_many_languages_twenty_are_written_out(tmp_path, monkeypatch):
    """A terminal is no place for 23 languages; files have them all."""
    monkeypatch.chdir(tmp_path)
    runs = run_table(true_theta(23, 3), 20, 0.005, 0)
    runs.to_frame().to_csv("many.csv", index=False)
    said = ok("fit", "many.csv", "--law", "chinchilla", "--draws", 0, "-o", "many.json").out
    assert "3 more languages are in --json and -o files." in said
    names = Fits.load("many.json").languages
    assert names[19] in said
    assert names[20] not in said
    answer = ok("optimize", "many.json", *BUDGET, "--draws", 0).out
    assert "3 more languages are in --recipes and --json; -l names some." in answer
    assert names[20] not in answer
    assert names[20] in ok("optimize", "many.json", *BUDGET, "--draws", 0, "-l", names[20]).out
