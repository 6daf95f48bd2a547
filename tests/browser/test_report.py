"""The report in a browser: what a reader can do with it, and that it is for every reader."""

import re

import pytest

from m3jax.output.html import write_report

from ..output.cases import ODD, a_case

pytestmark = pytest.mark.slow


@pytest.fixture
def report(opened, quickstart):
    return opened(quickstart / "report.html")


def test_it_opens_without_a_word_and_small(report, quickstart):
    report.see_all()
    assert report.told == []
    assert (quickstart / "report.html").stat().st_size < 3e6
    assert report.page.locator("figure.chart svg").count() >= 8


def test_the_decision_comes_first(report):
    said = report.page.locator("#answer span").all_inner_texts()
    assert len(said) == 3
    assert said[0].startswith("Train ")
    assert re.search(r"Expect a loss of \d\.\d{4} nats per token \(90% interval", said[1])
    assert said[2].startswith("It uses 100% of 2e+12 FLOP, is held by compute budget")
    # On the first screen.
    assert report.page.locator("#answer").bounding_box()["y"] < 300
    assert report.page.locator("#languages tbody tr").first.bounding_box()["y"] < 600


def test_sliders_change_the_recipe_at_once(report):
    page = report.page
    before = page.locator("#answer").inner_text()
    page.locator("#compute").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    after = page.locator("#answer").inner_text()
    assert after != before
    report.settle()
    assert page.locator("#result small").count() >= 4  # intervals
    page.locator("#max-params-field").fill("50K")
    page.locator("#max-params-field").press("Enter")
    report.settle()
    assert "largest model, as you set it" in page.locator("#result").inner_text()
    assert "50.0K" in page.locator("#result").inner_text()
    page.locator("#target-tokens-field").fill("nonsense")
    page.locator("#target-tokens-field").press("Enter")
    assert page.locator("#target-tokens-field").get_attribute("aria-invalid") == "true"
    assert report.told == []


def test_impossible_wishes_are_told(report):
    page = report.page
    page.locator("#max-params-field").fill("1")
    page.locator("#max-params-field").press("Enter")
    page.wait_for_timeout(300)
    assert "No recipe is allowed" in page.locator("#result").inner_text()
    assert "largest model, as you set it" in page.locator("#result").inner_text()
    assert report.told == []


def test_the_table_is_searched_and_sorted(report):
    page = report.page
    names = lambda: page.locator("#languages tbody th").all_inner_texts()  # noqa: E731
    assert names() == ["Indonesian", "Japanese", "German", "French"]
    page.get_by_role("button", name="language", exact=True).click()
    assert names() == ["French", "German", "Indonesian", "Japanese"]
    page.get_by_role("button", name="language", exact=True).press("Enter")
    assert names() == ["Japanese", "Indonesian", "German", "French"]
    sorted_head = page.locator("#languages [aria-sort=descending]")
    assert sorted_head.inner_text().startswith("language")
    page.locator("#search").fill("ger")
    assert names() == ["German"]
    assert "1 of " in page.locator("[role=status]").inner_text()
    page.locator("#languages tbody button").first.click()
    assert "for German" in page.locator("#answer").inner_text()
    assert page.locator("#languages tr.marked").count() == 1


def test_another_language_changes_every_part(report):
    page = report.page
    page.locator("#language").select_option(label="Japanese")
    report.see_all()
    for part in ("#answer", "#determined", "#matrix", "#coefficients"):
        assert "Japanese" in page.locator(part).inner_text(), part
    assert page.locator("#next tbody tr").count() == 4
    assert report.told == []


def test_runs_are_named_under_the_pointer(report):
    report.see_all()
    report.page.locator("#quality").scroll_into_view_if_needed()
    report.settle()
    report.page.locator("#quality svg").last.hover()
    tip = report.page.locator("#quality [aria-label=tip]").last
    assert "predicted" in tip.text_content()


@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(opened, quickstart, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    report = opened(quickstart / "report.html", width, scheme)
    report.see_all()
    assert report.page.evaluate("document.documentElement.scrollWidth") <= width
    colour = report.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light")
    found = axe.Axe().run(report.page).response["violations"]
    told = [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found]
    assert not told
    assert report.told == []


def test_names_from_outside_stay_text(opened, tmp_path):
    case = a_case()
    path = write_report(
        tmp_path / "odd.html",
        title=f"<script>alert(1)</script>{ODD}",
        fits=case.fits,
        recommendations=case.found,
        scores=[],
        runs=case.runs,
    )
    report = opened(path)
    report.see_all()
    assert report.told == []
    assert ODD in report.page.locator("#languages").inner_text()
