"""The calculator: the page that finds recipes, without a report around it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...files import write_text
from ...fitting import Fits
from ...optimization import Questions, ask
from ...options import Limits
from . import _page
from ._caveats import NOT_THE_PAPERS
from ._living import living_page
from ._payload import page_data

_BEYOND = 4.0  # times the largest run: where the sliders begin


def first_questions(
    fits: Fits,
    limits: Limits | None = None,
    *,
    compute: float | None = None,
    target_tokens: float | None = None,
) -> Questions:
    """What a page begins with where nothing was asked.

    By default a little more compute than the largest run took, and for each language a corpus of
    the size in the middle of those that were run, on a logarithmic scale.
    """
    ranges = [scope.ranges for scope in fits.grounds]
    most = _BEYOND * max(span["compute"][1] for span in ranges)
    middle = {
        name: float(np.sqrt(np.prod(span["target_tokens"])))
        for name, span in zip(fits.languages, ranges, strict=True)
    }
    return ask(
        fits,
        limits or Limits(),
        compute=compute or most,
        target_tokens=middle if target_tokens is None else target_tokens,
    )


def write_calculator(
    path: str | os.PathLike[str],
    fits: Fits,
    *,
    limits: Limits | None = None,
    compute: float | None = None,
    target_tokens: float | None = None,
    title: str = "Recipe calculator",
    notes: Sequence[str] = (),
    objective: str = "point",
    times_optimal: float | None = None,
    command: str = "",
) -> Path:
    """Write one HTML file that finds recipes from a fit, and needs nothing outside itself.

    Args:
        path: of the file.
        fits: what was fitted.
        limits: what every recipe must keep to.
        compute, target_tokens: where the sliders begin, FLOP and unique tokens.
        title: heads the page.
        notes: what its reader must know, in sentences.
        objective, times_optimal: see `page_data`.
        command: what made the page.

    Raises `M3Error` if no language was fitted, or the file cannot be written.
    """
    fits.require_any()
    data = page_data(
        title=title,
        fits=fits,
        questions=first_questions(fits, limits, compute=compute, target_tokens=target_tokens),
        objective=objective,
        times_optimal=times_optimal,
    )
    caveats = [*notes, "Losses are those of the runs' text and tokenizer; compute is 6·N·D."]
    if fits.law.name.startswith("m3"):
        caveats.append(NOT_THE_PAPERS)
    body = [_page.heading("Caveats"), _page.bullets(caveats)]
    return write_text(path, living_page(body, data=data, fits=fits, command=command))
