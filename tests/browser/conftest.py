"""A real browser: Debian's chromium or another, driven by Playwright. Without one, skipped."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from m3jax.fitting import Fits
from m3jax.pipeline import read_config, run

from ..conftest import ROOT

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Opened:
    """A page in the browser, with what it wrote to its console."""

    def __init__(self, context, path: Path) -> None:
        self.page = context.new_page()
        self.told: list[str] = []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        # Nothing may be fetched: a page is one file.
        self.page.on("request", self._requested)
        self.page.goto(path.as_uri())
        self.page.wait_for_function("window.m3jax?.ready")
        self.settle()

    def _requested(self, request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.told.append(f"asked for {request.url}")

    def settle(self) -> None:
        """Wait until intervals and the figures in view are there."""
        self.page.wait_for_timeout(250)
        self.page.wait_for_function(
            "!document.querySelector('[aria-busy=true]')"
            " && !document.getElementById('result').textContent.includes('being computed')",
            timeout=120_000,
        )

    def see_all(self) -> None:
        """Scroll through the page, so that every figure is drawn."""
        for id in ("surface", "map", "recipes", "quality", "residuals"):
            place = self.page.locator(f"#{id}")
            if place.is_visible():
                place.scroll_into_view_if_needed()
                self.settle()


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(CHROMIUMS)} is installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Opens a file, at a width and in a colour scheme."""
    contexts = []

    def open_page(path: Path, width: int = 1300, scheme: str = "light") -> Opened:
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme))
        return Opened(contexts[-1], path)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory) -> Path:
    """The folder of the quickstart's results."""
    folder = tmp_path_factory.mktemp("quickstart")
    config = ROOT / "configs" / "quickstart.toml"
    run(dataclasses.replace(read_config(config), output=folder), command="m3jax run q.toml")
    return folder


@pytest.fixture(scope="session")
def quickstart_fits(quickstart) -> Fits:
    return Fits.load(quickstart / "fits.json")
