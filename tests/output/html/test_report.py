"""The report: complete, self-contained, safe with any name, whole or not at all."""

import base64
import dataclasses
import hashlib
import json
import os
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from m3jax import M3Error, formatting
from m3jax.comparison import Score
from m3jax.output.html import write_report

from ...conftest import ROOT
from ..cases import ODD, Case

SCORES = [
    Score("m3", ODD, "most epochs", 30, 10, mae=0.01234, mean_relative_error=0.0056, r2=0.91),
    Score(
        "chinchilla",
        "日本語",
        "most epochs",
        3,
        0,
        mean_relative_error=float("nan"),
        message="too few runs <3>",
    ),
]


def _write(path: Path, case: Case, **changes) -> str:
    options = {
        "title": f"Recipes for {ODD}",
        "fits": case.fits,
        "recommendations": case.found,
        "scores": SCORES,
        "notes": ["Bytes, not <tokens>."],
    }
    assert write_report(path, **options | changes) == path
    return path.read_text(encoding="utf-8")


def test_report_tells_the_ranges_of_a_prior(case, tmp_path):
    settings = {**case.fits.settings, "prior_ranges": {"alpha": [0.25, 0.5]}}
    fits = dataclasses.replace(case.fits, settings=settings)
    assert "alpha = 0.25–0.5" in _write(tmp_path / "report.html", case, fits=fits)


def _data(text: str) -> dict:
    """What the page computes and draws from."""
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1]
    )


def test_report_is_one_file_with_everything_in_it(case, tmp_path):
    text = _write(tmp_path / "report.html", case, runs=case.runs)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    links = re.findall(r"""<[^>]*\b(?:src|href)\s*=\s*["']?([^"'\s>]+)""", text)
    assert all(link.startswith("#") for link in links)
    data = _data(text)
    names = [language["name"] for language in data["languages"]]
    assert names == list(case.fits.languages)
    assert [other["name"] for other in data["notFitted"]] == list(case.fits.failed)
    assert "3 runs are too few" in data["notFitted"][0]["why"]
    for i, language in enumerate(data["languages"]):
        assert language["theta"] == case.fits.theta[i].tolist()
        own = case.runs.for_language(language["name"])
        assert language["runs"]["loss"] == pytest.approx(own.loss, rel=1e-6)
    assert len(data["rows"]) == case.found.feasible.size
    assert data["scores"][0]["error"] == 0.0056
    assert data["scores"][1]["error"] is None
    assert data["scores"][1]["why"] == "too few runs <3>"
    shown = re.sub(r"<script.*?</script>|<style>.*?</style>", "", text, flags=re.S)
    assert "<b>" not in text.replace("<b>$", "")  # in the script's own words only
    assert "<new>" not in shown
    assert "Bytes, not &lt;tokens&gt;." in shown
    assert "arXiv:2410.12325v2 was not available" in shown
    assert not re.search(r"\b(nan|inf|None)\b", shown)
    sections = re.findall(r"<h2>(.*?)</h2>", shown)
    assert sections[:2] == ["What if", "Figures"]
    assert sections[-3:] == ["Caveats", "Settings and versions", "Glossary"]


def test_names_cannot_end_the_data(case, tmp_path):
    title = "</script><script>alert(1)</script>"
    text = _write(tmp_path / "report.html", case, title=title)
    assert title not in text
    assert _data(text)["title"] == title


def test_draws_come_as_they_are_used(case, tmp_path):
    data = _data(_write(tmp_path / "report.html", case))
    width = len(case.fits.law.names)
    for i, language in enumerate(data["languages"]):
        drawn = np.frombuffer(base64.b64decode(language["draws"]), "<f4").reshape(-1, width)
        assert drawn == pytest.approx(case.fits.draws[i], rel=1e-6)


def test_report_answers_first(case, tmp_path):
    text = _write(tmp_path / "report.html", case)
    answer = re.search(r'<p class="answer" id="answer">(.*?)</p>', text)[1]
    i, j, t = 0, 2, int(np.argmax(case.found.feasible[0, 2]))
    row = case.found.records()[np.ravel_multi_index((i, j, t), case.found.feasible.shape)]
    answer = unescape(answer)
    for part in (ODD, "4e+12 FLOP", formatting.loss(row["loss"]), "90%", "compute budget"):
        assert part in answer


def test_report_without_draws_recipes_or_scores(case, tmp_path):
    fits = dataclasses.replace(
        case.fits, draws=case.fits.draws[:, :0], bends=case.fits.bends[:, :0]
    )
    text = _write(tmp_path / "a.html", case, fits=fits, recommendations=case.undrawn, scores=[])
    assert "No bootstrap draws were made" in text
    assert "90% interval" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    text = _write(tmp_path / "b.html", case, recommendations=None, scores=[])
    assert _data(text)["rows"] == []
    assert all(language["compute"] > 0 for language in _data(text)["languages"])


def test_the_script_is_built_from_its_source():
    """What ships is what `npm run build` in web/ makes of what stands there."""
    web = ROOT / "web"
    paths = [*(p for p in (web / "src").rglob("*") if p.is_file())]
    paths += [web / "package.json", web / "package-lock.json"]
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(web).as_posix() for path in paths):
        digest.update(f"{name}\n".encode() + (web / name).read_bytes())
    script = (ROOT / "m3jax" / "output" / "html" / "assets" / "page.js").read_text(encoding="utf-8")
    assert digest.hexdigest() in script.partition("*/")[0]
    assert "</script" not in script.lower()


def test_a_folder_that_cannot_be_written_to_is_told(case, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(M3Error, match="cannot be written"):
        _write(tmp_path / "file" / "report.html", case)
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o555)
        with pytest.raises(M3Error, match="cannot be written"):
            _write(locked / "report.html", case)
        assert not list(locked.iterdir())
