"""The notebook: its cells run in order as they stand, and none holds what an earlier run said."""

import json
import re

import pytest

from tools.docs_hooks import notebook_page

from ..conftest import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def cells(kind):
    """(id, text) of the cells of a kind, in order."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    return [
        (cell["id"], "".join(cell["source"]))
        for cell in notebook["cells"]
        if cell["cell_type"] == kind
    ]


def test_it_is_stored_without_results():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}, cell["id"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], cell["id"]
            assert cell["execution_count"] is None, cell["id"]


def test_its_links_are_there():
    text = "\n".join(text for _, text in cells("markdown"))
    targets = re.findall(r"\]\((?!http)([^)#]+)", text)
    assert targets
    for target in targets:
        assert (NOTEBOOK.parent / target).exists(), target


def test_its_page_has_all_of_it():
    page = notebook_page(NOTEBOOK.read_text(encoding="utf-8"), NOTEBOOK.name)
    assert re.findall(r"```python\n(.*?)\n```", page, re.S) == [text for _, text in cells("code")]
    assert page.startswith("# From a DataFrame to a recipe\n")
    assert page.endswith("(notebook.ipynb)\n")


@pytest.mark.slow
def test_its_cells_run_and_say_what_the_text_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for place, text in cells("code"):
        exec(compile(text, f"notebook, cell {place!r}", "exec"), names)
    # Predictions of unseen runs are of use, and their intervals hold nearly nine in ten.
    check = names["check"]
    assert check["runs"].sum() > 60
    assert (check["error"] < 0.06).all()
    assert 0.8 < (check["inside"] * check["runs"]).sum() / check["runs"].sum() < 0.9
    assert names["best"].loss.shape == (4, 2, 2)
    sheet = names["sheet"]
    assert len(sheet) == 4
    assert sheet.regret_after < min(sheet.regret_now, sheet.regret_random)
    assert "add runs at other" in capsys.readouterr().out
    assert '"German"' in (tmp_path / "calculator.html").read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {
        "calculator.html",
        "fits.json",
        "fits.npz",
    }
