"""The report: complete, self-contained, safe with any name, whole or not at all."""

import dataclasses
import os
import re
from html import escape
from pathlib import Path

import numpy as np
import pytest

from m3jax import M3Error, formatting
from m3jax.comparison import Score
from m3jax.output.figures import fit_quality, recipes_by_corpus
from m3jax.output.html import write_report

from ..cases import ODD, SIGNATURE, Case, png_of, take

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
        "figures": {},
        "notes": ["Bytes, not <tokens>."],
    }
    assert write_report(path, **options | changes) == path
    return path.read_text(encoding="utf-8")


def test_report_tells_the_ranges_of_a_prior(case, tmp_path):
    settings = {**case.fits.settings, "prior_ranges": {"alpha": [0.25, 0.5]}}
    fits = dataclasses.replace(case.fits, settings=settings)
    assert "alpha = 0.25–0.5" in _write(tmp_path / "report.html", case, fits=fits)


def test_report_is_one_file_with_everything_in_it(case, tmp_path):
    pictures = {
        "Measured against predicted": png_of(fit_quality(case.fits, case.runs)),
        'Recipes of <b>&"': png_of(recipes_by_corpus(case.found, ODD)),
    }
    text = _write(tmp_path / "report.html", case, figures=pictures)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    for caption in pictures:
        assert f'alt="{escape(caption)}"' in text
    assert text.count('src="data:image/png;base64,') == 2
    text = re.sub(r"base64,[^\"]*", "base64", text)
    links = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", text)
    assert all(link.startswith("data:") for link in links)
    assert "http" not in text
    assert "url(" not in text
    for name in (*case.fits.languages, *case.fits.failed):
        assert escape(name) in text
    assert "<b>" not in text
    assert "<new>" not in text
    assert "Bytes, not &lt;tokens&gt;." in text
    assert "too few runs &lt;3&gt;" in text
    assert "3 runs are too few" in text
    assert "arXiv:2410.12325v2 was not available" in text
    assert "no recipe is allowed: compute" in text
    assert "0.0123" in text
    assert "0.56%" in text
    assert not re.search(r"\b(nan|inf|None)\b", text)
    sections = re.findall(r"<h2>(.*?)</h2>", text)
    assert sections[:3] == ["Recommended recipes", "Figures", "The fit"]
    assert sections[-2:] == ["Caveats", "Settings and versions"]


def test_report_answers_first(case, tmp_path):
    text = _write(tmp_path / "report.html", case)
    answer = re.search(r'<p class="answer">(.*?)</p>', text)[1]
    i, j, t = 0, 2, int(np.argmax(case.found.feasible[0, 2]))
    row = case.found.records()[np.ravel_multi_index((i, j, t), case.found.feasible.shape)]
    for part in (escape(ODD), "4e+12 FLOP", row["regime"], formatting.loss(row["loss"]), "90%"):
        assert part in answer
    assert "compute budget" in answer


def test_report_without_draws_scores_or_figures(case, tmp_path):
    fits = dataclasses.replace(
        case.fits, draws=case.fits.draws[:, :0], bends=case.fits.bends[:, :0]
    )
    text = _write(tmp_path / "a.html", case, fits=fits, recommendations=case.undrawn, scores=[])
    assert "No bootstrap draws were made" in text
    assert "No hold-out comparison was made" in text
    assert "90% interval" not in text


def test_report_of_many_rows_points_to_the_table(case, tmp_path):
    found = take(case.found, [1] * 30, [0, 1, 2, 3])
    text = _write(tmp_path / "report.html", case, recommendations=found, scores=SCORES * 150)
    assert f"The first 200 of {found.feasible.size} rows; recipes.csv has them all." in text
    assert "The first 200 of 300 rows." in text
    assert text.count("<tr>") < 500


class _Broken(dict):
    def items(self):
        raise RuntimeError("the figure could not be drawn")


def test_nothing_is_written_when_a_figure_fails(case, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(RuntimeError, match="drawn"):
        _write(path, case, figures=_Broken(a=SIGNATURE))
    for bad in (b"GIF89a", "text", None):
        with pytest.raises(M3Error, match="figure 'bad'"):
            _write(path, case, figures={"bad": bad})
    assert path.read_text(encoding="utf-8") == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


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
