"""A page that computes: what the report and the calculator share."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from ..._version import __version__
from ...fitting import Fits
from ...formatting import printable
from ...runs import RunTable
from . import _page
from ._glossary import GLOSSARY

_LEFT_OUT = {
    "constraints": "constraints given as functions",
    "source_fits": "the cap on the loss on source text",
}


def living_page(
    body: Iterable[str],
    *,
    data: Mapping[str, Any],
    fits: Fits,
    runs: RunTable | None = None,
    answer: str = "",
    elsewhere: str = "",
    command: str = "",
) -> str:
    """A whole document that computes and draws where it is opened.

    Args:
        body: what stands below that, HTML already.
        data: see `page_data`.
        fits: what was fitted.
        runs: to what.
        answer: the recipe in words, for who reads without JavaScript.
        elsewhere: where such readers find the rest, the end of a sentence.
        command: what made the page.
    """
    return _page.page(
        data["title"],
        body,
        data=data,
        answer=printable(answer),
        elsewhere=elsewhere,
        calculator_notes=list(_notes(data)),
        law=fits.law,
        glossary=GLOSSARY,
        made=_made(fits, runs, command),
    )


def _notes(data: Mapping[str, Any]) -> Iterator[str]:
    """What the reader must know of the calculator in a page with these data."""
    if data["law"]["program"] is None:
        yield f"Law {data['law']['name']} is no sum of elementary functions: no calculator here."
        return
    left_out = [_LEFT_OUT[name] for name in data["limits"]["leftOut"]]
    if left_out:
        yield f"The sliders' recipes do not keep {' and '.join(left_out)}; those in the table do."


def _made(fits: Fits, runs: RunTable | None, command: str) -> str:
    """When, with what, from what and how a page was made."""
    versions = f"m3jax {__version__}, jax {version('jax')}, Python {platform.python_version()}"
    today = datetime.date.today()
    parts = [f"{today.day} {today:%B %Y}", versions]
    if runs is None:
        parts.append(str(fits.settings["source"]))
    else:
        parts.append(f"{len(runs.loss)} runs of {runs.source} (digest {runs.digest})")
    return printable(" · ".join([*parts, *([command] if command else [])]))
