"""The pictures of `docs/gallery.md`, from what its commands wrote to a folder.

    python -m tools.screenshots out/gallery     # writes docs/images

Pages are photographed in a browser (Debian's chromium or another, by Playwright), figures are
taken as they are. All are stored with 256 colours, in a third of what they take otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MOST_BYTES = 150_000
COLOURS = 256
WIDEST = 1300  # pixels


@dataclasses.dataclass(frozen=True)
class Shot:
    """A picture of a page.

    Attributes:
        page: the file in the folder of results.
        size: width and height of the window, in pixels.
        scheme: "light" or "dark".
        heading: of the part that is taken, from there to as far as the window is high; without
            one, from the top.
    """

    page: str
    size: tuple[int, int]
    scheme: str = "light"
    heading: str | None = None


SHOTS = {
    "report_wide.png": Shot("report.html", (1300, 1230)),
    "report_phone.png": Shot("report.html", (390, 1000), "dark"),
    "report_figures.png": Shot("report.html", (1300, 1255), "dark", "Figures"),
    "calculator.png": Shot("calculator.html", (1300, 700)),
}
FILES = {
    "recipes.png": "recipes_0_Indonesian.png",
    "surface.png": "surface_0_Indonesian.png",
    "fit_quality.png": "fit_quality.png",
    "residuals.png": "residuals_0_Indonesian.png",
    "parity.png": "parity_compute.png",
    "regime_map.png": "map/map.png",
    "runs.png": "runs.png",
    "coefficients.png": "coefficients.png",
    "diagnosis.png": "diagnosis.png",
    "scores.png": "scores.png",
}


def photographs(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of every shot of the pages in `folder`."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        raise SystemExit(f"no browser: none of {', '.join(CHROMIUMS)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for name, shot in SHOTS.items():
            width, height = shot.size
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=shot.scheme
            )
            page = context.new_page()
            page.goto((folder / shot.page).resolve().as_uri())
            page.wait_for_function("window.m3jax?.ready")
            if shot.heading is not None:
                heading = page.get_by_role("heading", name=shot.heading, exact=True)
                heading.evaluate("heading => heading.scrollIntoView()")
            settle(page)
            yield name, page.screenshot()
            context.close()
        browser.close()


def settle(page: Any) -> None:
    """Wait until intervals and the figures in view are there."""
    page.wait_for_timeout(500)
    page.wait_for_function(
        "!document.querySelector('[aria-busy=true]')"
        " && !document.getElementById('result').textContent.includes('being computed')",
        timeout=120_000,
    )
    page.wait_for_timeout(500)


def small(png: bytes) -> bytes:
    """The picture with few colours, no wider than `WIDEST`; `SystemExit` if still too large."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    if picture.width > WIDEST:
        height = round(picture.height * WIDEST / picture.width)
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    # Of Pillow's ways the one that leaves rare colours as they are.
    way = Image.Quantize.MAXCOVERAGE
    file = io.BytesIO()
    picture.quantize(COLOURS, method=way, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    if file.tell() > MOST_BYTES:
        raise SystemExit(f"a picture of {file.tell()} bytes, more than {MOST_BYTES}")
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what the gallery's commands wrote")
    folder = parser.parse_args().folder
    pictures = {name: (folder / file).read_bytes() for name, file in FILES.items()}
    pictures.update(photographs(folder))
    for name, png in pictures.items():
        (IMAGES / name).write_bytes(small(png))
        print(f"{name}: {(IMAGES / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
