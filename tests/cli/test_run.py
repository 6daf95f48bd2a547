"""`m3jax run`."""

import csv
import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from m3jax import Fits

from ..conftest import call, ok
from .conftest import CONFIG, LANGUAGES, files


@pytest.fixture(scope="module")
def study(home, tmp_path_factory):
    """`m3jax run` on a small configuration: what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("study")
    return ok("run", home / "study.toml", "-o", folder, "--figures", "png"), folder


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


@pytest.mark.slow
def test_a_run_without_recipes_reports_the_rest(here):
    text = Path("study.toml").read_text(encoding="utf-8")
    Path("fits.toml").write_text(text[: text.index("[optimize]")], encoding="utf-8")
    result = ok("run", "fits.toml", "-o", "out")
    assert "no recipes: fits.toml has no [optimize]" in result.out
    assert not {"recipes.csv", "plan.json"} & files(Path("out"))
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert '"rows": []' in page
    assert "What the runs determine" in page
    assert "Settings and versions" in page


def test_results_are_not_overwritten_unasked(home, study, tmp_path):
    _, folder = study
    before = {path: path.read_bytes() for path in folder.iterdir()}
    result = call("run", home / "study.toml", "-o", folder)
    assert result.code == 2
    assert result.out == ""
    assert f"{folder}: holds results already (fits.json)" in result.err
    assert "--overwrite" in result.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("way", ["option", "file"])
def test_results_are_overwritten_when_asked(here, way):
    Path("out").mkdir()
    for name in ("fits.json", "fits.npz", "scores.json"):
        Path("out", name).write_text("of before", encoding="utf-8")
    text = Path("study.toml").read_text(encoding="utf-8")
    Path("again.toml").write_text(f"overwrite = true{text}", encoding="utf-8")
    line = ("study.toml", "--overwrite") if way == "option" else ("again.toml",)
    ok("run", *line)
    assert Fits.load("out/fits.json").languages == LANGUAGES
    json.loads(Path("out/scores.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_run_that_fails_in_the_end_leaves_nothing(here, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    result = call("run", "study.toml")
    assert (result.code, result.out) == (2, "")
    assert "No space left on device" in result.err
    assert not Path("out").exists()


def test_the_report_needs_no_other_file(study):
    text = (study[1] / "report.html").read_text(encoding="utf-8")
    assert "A small study" in text
    assert all(name in text for name in LANGUAGES)
    assert "m3jax run " in text  # what made it
    links = re.findall(r"""<[^>]*\b(?:src|href)\s*=\s*["']?([^"'\s>]+)""", text)
    assert all(link.startswith("#") for link in links)


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
    drawn = {path.name for path in folder.glob("*.png")}
    assert {Path(name).name for name in content["files"]} == files(folder) - drawn
    assert {str(Path(name).parent) for name in content["files"]} == {"out"}
    assert files(Path("out")) == files(folder) - drawn
    for name in ("recipes.csv", "plan.json", "fits.json"):
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
    Path("few.csv").write_text("".join(lines[:3]), encoding="utf-8")
    text = CONFIG.format(output="few").replace("runs.csv", "few.csv")
    Path("few.toml").write_text(text, encoding="utf-8")
    result = call("run", "few.toml")
    assert result.code == 2
    assert "too few runs" in result.err
    assert not Path("few").exists()


@pytest.mark.slow
def test_further_runs_come_with_the_recipes(here):
    text = Path("study.toml").read_text(encoding="utf-8")
    text = text.replace("draws = 2", "draws = 20") + "\n[next]\nbudget = 1e19\nruns = 2\n"
    Path("further.toml").write_text(text, encoding="utf-8")
    ok("run", "further.toml", "-o", "further")
    sheet = pd.read_csv("further/next.csv")
    assert sheet["language"].tolist() == [name for name in LANGUAGES for _ in range(2)]
    assert sheet["loss"].isna().all()
    assert (sheet.groupby("language")["compute"].sum() <= 1e19).all()
    page = Path("further/report.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    for i, language in enumerate(data["languages"]):
        own = sheet[sheet["language"] == LANGUAGES[i]]
        assert [run["nParams"] for run in language["next"]["runs"]] == own["n_params"].tolist()
        assert min(language["next"][name] for name in ("now", "after", "random")) >= 0


def test_figures_in_the_file_and_as_svg(here):
    text = Path("study.toml").read_text(encoding="utf-8")
    text = text.replace('title = "A small study"', 'title = "A small study"\nfigures = "svg"')
    text = re.sub(r"\[compare\][^\[]*\[[^\]]*\][^\[]*\[[^\]]*\]", "", text)
    Path("drawn.toml").write_text(text, encoding="utf-8")
    ok("run", "drawn.toml", "-o", "drawn")
    drawn = sorted(Path("drawn").glob("*.svg"))
    assert "fit_quality.svg" in [path.name for path in drawn]
    assert all("<svg" in path.read_text(encoding="utf-8") for path in drawn)
    result = call("run", "drawn.toml", "-o", "other", "--figures", "gif")
    assert result.code == 2
    assert "expected png or svg, got 'gif'" in result.err
    assert not Path("other").exists()


def test_run_does_without_matplotlib(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ok("run", "study.toml", "-o", "plain")
    assert Path("plain/report.html").exists()


def test_without_matplotlib_figures_say_what_to_install(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("run", "study.toml", "--figures", "png")
    assert result.code == 2
    assert result.out == ""
    assert result.err == "m3jax: error: figures need matplotlib: pip install 'm3jax[plot]'\n"
    assert not Path("out").exists()
