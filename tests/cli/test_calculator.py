"""`m3jax calculator`."""

import json
import re

from ..conftest import call, ok


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1]
    )


def test_a_page_knows_the_fit_and_the_limits(here):
    result = ok(
        "calculator", "fits.json", "-o", "page.html", "-c", "1e20", "-t", "200M",
        "--max-source-tokens", "10B", "--n-params", "10M,1B", "--title", "Ours",
    )  # fmt: skip
    assert result.out == "written to page.html\n"
    data = data_of(here / "page.html")
    assert data["title"] == "Ours"
    assert data["limits"]["sourceTokens"] == 1e10
    assert data["objective"] == "point"
    assert [language["name"] for language in data["languages"]] == ["language0000", "language0001"]
    for language in data["languages"]:
        assert (language["compute"], language["targetTokens"]) == (1e20, 2e8)
        assert (language["low"][0], language["high"][0]) == (1e7, 1e9)
        assert language["runs"] is None


def test_without_a_fit_it_rests_on_public_tables(here):
    ok("calculator", "-o", "public.html")
    data = data_of(here / "public.html")
    assert data["objective"] == "mean_log"
    assert data["limits"]["timesOptimal"] == 4
    (language,) = data["languages"]
    assert language["high"][1] == 40
    assert (language["compute"], language["targetTokens"]) == (1e21, 1e9)
    assert "No run of your language" in (here / "public.html").read_text(encoding="utf-8")


def test_what_cannot_be_is_told(here):
    result = call("calculator", "none.json", "-o", "page.html")
    assert (result.code, result.out) == (2, "")
    assert "none.json" in result.err
    result = call("calculator", "fits.json", "-o", "runs.csv/page.html")
    assert result.code == 2
    result = call("calculator", "fits.json", "-o", "page.html", "-c", "much")
    assert result.code == 2
    assert "--compute: expected" in result.err
    assert not (here / "page.html").exists()
