"""`m3jax fit`."""

import json

import numpy as np
import pandas as pd
import pytest

from m3jax import Fits

from ..conftest import call, ok
from .conftest import LANGUAGES, SMALL, files


def test_fit_prints_a_table_and_writes_the_fits(here):
    result = ok("fit", "runs.csv", *SMALL, "-o", "new/fits.json")
    for word in (*LANGUAGES, "R²", "chinchilla", "runs.csv", "90% interval", "alpha"):
        assert word in result.out
    assert result.err.split() == ["written:", "new/fits.json,", "new/fits.npz"]
    assert files(here / "new") == {"fits.json", "fits.npz"}
    fits = Fits.load(here / "new" / "fits.json")
    assert fits.languages == LANGUAGES
    found = ok("diagnose", "new/fits.json", "runs.csv", "--json").json
    assert {name: entry["grade"] for name, entry in found.items()} == dict(
        zip(LANGUAGES, fits.grades, strict=True)
    )
    assert all(grade in result.out for grade in fits.grades)
    assert f"{fits.r2[0]:.4f}" in result.out
    assert f"{fits.coefficients(LANGUAGES[1])['alpha']:.6g}" in result.out
    again = Fits.load(here / "fits.json")
    np.testing.assert_array_equal(fits.theta, again.theta)
    np.testing.assert_array_equal(fits.draws, again.draws)


def test_fit_as_json_prints_one_document(here):
    result = ok("fit", "runs.csv", *SMALL, "--json")
    content = json.loads((here / "fits.json").read_text(encoding="utf-8"))
    del content["arrays"], content["checksum"]
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


def test_fit_reads_numbers_as_they_are_written(here):
    frame = pd.read_csv("runs.csv")
    frame["loss"] = [f"{bits:.9f}".replace(".", ",") for bits in frame["loss"] / np.log(2) / 4]
    frame.to_csv("other.csv", index=False, sep=";")
    units = ("--units", "loss=bpb", "--bytes-per-token", "4", "--decimal", ",")
    content = ok("fit", "other.csv", *units, *SMALL, "--json").json
    plain = Fits.load("fits.json")
    for i, name in enumerate(LANGUAGES):
        objective = content["languages"][name]["objective"]
        assert objective == pytest.approx(plain.objective[i], rel=1e-4)


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
    assert "drop_highest: 2 of 48 rows left out" in settings["notes"][-1]
    assert "drop_highest: 2 of 48 rows left out" in ok(
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
    frame[frame.index % 24 < 2].to_csv("few.csv", index=False)
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
