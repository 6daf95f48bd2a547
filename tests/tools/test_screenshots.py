"""The pictures of the gallery: small, all there, all shown."""

import io
import re

import numpy as np
import pytest

from tools.screenshots import FILES, IMAGES, MOST_BYTES, SHOTS, WIDEST, small

from ..conftest import ROOT

image = pytest.importorskip("PIL.Image", reason="needs pillow")


def test_the_gallery_shows_every_picture_and_they_are_small():
    shown = re.findall(r"\]\(images/(.+?)\)", (ROOT / "docs" / "gallery.md").read_text())
    assert sorted(shown) == sorted([*SHOTS, *FILES])
    for name in shown:
        assert (IMAGES / name).stat().st_size <= MOST_BYTES, name
        with image.open(IMAGES / name) as picture:
            assert picture.width <= WIDEST, name


def test_rare_colours_survive():
    pixels = np.full((300, 1600, 3), 255, dtype=np.uint8)
    pixels[:, :800] = np.linspace(0, 255, 800).astype(np.uint8)[:, None]
    pixels[100:140, 1000:1040] = (0, 114, 178)
    file = io.BytesIO()
    image.fromarray(pixels).save(file, "PNG")
    stored = image.open(io.BytesIO(small(file.getvalue()))).convert("RGB")
    assert stored.size == (WIDEST, 244)
    middle = np.array(stored.getpixel((int(1020 * WIDEST / 1600), int(120 * WIDEST / 1600))))
    assert abs(middle - [0, 114, 178]).max() <= 16


def test_a_picture_that_stays_large_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    file = io.BytesIO()
    image.fromarray(noise).save(file, "PNG")
    with pytest.raises(SystemExit, match=r"a picture of \d+ bytes, more than 150000"):
        small(file.getvalue())
