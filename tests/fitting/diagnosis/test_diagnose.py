"""`diagnose`: what comes out of it, bad input, the command line, the report."""

import contextlib
import dataclasses
import io
import json
import re
import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from m3jax import M3Error, RunTable, covariance, delta_interval, diagnose
from m3jax.cli import main
from m3jax.output.figures import residuals_by_variable, to_png
from m3jax.output.html import report_page


def test_other_runs_are_refused(simple):
    runs, fits = simple.runs, simple.fits
    with pytest.raises(M3Error, match=r"runs.csv: no runs of 'odd', which the fits hold"):
        diagnose(fits, runs.select(runs.language != "odd"))
    new = runs.to_frame().iloc[:9].assign(language="new")
    more = RunTable.from_frame(pd.concat([runs.to_frame(), new]), source="runs.csv")
    with pytest.raises(M3Error, match="runs of 'new', which the fits do not hold"):
        diagnose(fits, more)
    fewer = np.ones(len(runs), dtype=bool)
    fewer[0] = False
    with pytest.raises(M3Error, match="'clean0': found 59 runs, the fit was made from 60"):
        diagnose(fits, runs.select(fewer))
    bits = dataclasses.replace(runs, loss=runs.loss / np.log(2))
    with pytest.raises(M3Error, match="give the table, names and units of the fit"):
        diagnose(fits, bits)
    with pytest.raises(M3Error, match="unknown language 'xx'"):
        diagnose(fits, runs, languages=["xx"])
    with pytest.raises(M3Error, match="name a language"):
        covariance(fits, runs)
    with pytest.raises(M3Error, match="'few' was not fitted"):
        covariance(fits, runs, "few")
    with pytest.raises(M3Error, match="level"):
        delta_interval(fits, runs, lambda theta: theta, "odd", 1.0)
    with pytest.raises(M3Error, match="not finite"):
        delta_interval(fits, runs, lambda theta: jnp.log(-jnp.exp(theta)), "odd")


@pytest.mark.slow
def test_json_has_no_nan(simple, full):
    for case in (simple, full):
        for diagnosis in case.found.values():
            content = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))
            assert content["grade"] in ("good", "usable", "weak", "unusable", "not fitted")
            assert content["verdicts"]


def test_languages_can_be_picked(simple):
    assert list(diagnose(simple.fits, simple.runs, languages=["odd", "few"])) == ["odd", "few"]


@pytest.fixture(scope="module")
def files(simple, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diagnose")
    simple.runs.to_frame().to_csv(folder / "runs.csv", index=False)
    simple.fits.save(folder / "fits.json")
    return folder


def call(files, monkeypatch, *arguments):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(files / "cache"))
    names = ["m3jax", "diagnose", str(files / "fits.json"), str(files / "runs.csv"), *arguments]
    monkeypatch.setattr(sys, "argv", names)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def test_command_line_of_one_language(files, monkeypatch):
    code, out, err = call(files, monkeypatch, "-l", "odd")
    assert (code, err) == (0, "")
    for words in ("odd, law chinchilla: good", "alpha", "±", "×/÷", "well", "run 'odd-17' (+6%)"):
        assert words in out
    assert "- run 'odd-17' lies" in out


def test_command_line_of_many_languages(files, monkeypatch):
    code, out, _ = call(files, monkeypatch)
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "not fitted" in lines["few"]
    assert "good" in lines["clean0"]
    assert "alpha" not in lines["clean0"]


def test_command_line_as_json(files, monkeypatch):
    code, out, err = call(files, monkeypatch, "--json")
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content["odd"]["outliers"][0]["name"] == "run 'odd-17'"
    code, out, err = call(files, monkeypatch, "--drop-highest", "1")
    assert (code, out) == (2, "")
    assert "the fit was made from" in err


def test_residuals_are_drawn(simple):
    for name in ("odd", "trend", "together"):
        png = to_png(residuals_by_variable(simple.found[name], simple.runs), dpi=40)
        assert png.startswith(b"\x89PNG")
    with pytest.raises(M3Error, match="'few' was not fitted"):
        residuals_by_variable(simple.found["few"], simple.runs)


def test_the_report_has_the_verdicts(simple):
    page = report_page(
        title="", fits=simple.fits, recommendations=None, scores=[], diagnoses=simple.found
    )
    assert "What the runs determine" in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    told = {language["name"]: language for language in data["languages"]}
    assert set(told) == set(simple.fits.languages)
    for name, language in told.items():
        assert language["verdicts"] == list(simple.found[name].verdicts)
    assert (told["odd"]["grade"], told["odd"]["nRuns"]) == ("good", 60)
    assert any(sentence.startswith("run 'odd-17' lies") for sentence in told["odd"]["verdicts"])
    assert [c["determined"] for c in told["odd"]["coefficients"]] == ["well"] * 5
    (few,) = (other for other in data["notFitted"] if other["name"] == "few")
    assert "too few runs" in few["why"]
