"""The few pieces of HTML that a report is made of. All text that comes in is escaped here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from html import escape as escape_html
from importlib.resources import files
from typing import Any

from ..._errors import M3Error
from ...formatting import printable
from ..tables import Table

_PNG = b"\x89PNG\r\n\x1a\n"


def _escape(text: str) -> str:
    """Text as it is shown: neither HTML nor control characters have a say."""
    return escape_html(printable(text))


def page(
    title: str, body: Iterable[str], *, data: Mapping[str, Any] | None = None, **shown: Any
) -> str:
    """A whole document around `body`, which is HTML already.

    With `data` it is one that computes and draws from them, see `living_page`; `shown` is what else
    the template asks for then.
    """
    # Imported here: most commands write no page.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("m3jax.output.html", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = ""
    if data is not None:
        # No "<", lest a name end the script; JSON has another way to write it.
        text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return environment.get_template("page.html").render(
        title=printable(title),
        body=Markup("\n".join(body)),
        style=Markup(_asset("page.css")),
        script=Markup(_asset("page.js") if data is not None else ""),
        data=Markup(text),
        **{"made": "", **shown},
    )


def _asset(name: str) -> str:
    return files("m3jax.output.html").joinpath("assets", name).read_text(encoding="utf-8")


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{_escape(text)}</h2>"


def paragraph(text: str, style: str = "") -> str:
    """A paragraph; `style` is "answer", "faint" or nothing."""
    return f'<p class="{style}">{_escape(text)}</p>' if style else f"<p>{_escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    """A list, or nothing if there are no items."""
    inner = "".join(f"<li>{_escape(item)}</li>" for item in items)
    return f"<ul>{inner}</ul>" if inner else ""


def table(content: Table, *, most: int | None = None, rest: str = "") -> str:
    """The full view of a table, which scrolls sideways where it does not fit.

    Lines of a cell after its first, which may be empty, are in small type; columns of prose wrap.
    Of more rows than `most` only the first are shown, and a sentence under the table says so, with
    `rest`, which tells where the others are.
    """
    cells = content.cells("full")
    columns, shown = content.shown("full"), cells if most is None else cells[:most]
    head = "".join(f"<th>{_escape(column.heading('full'))}</th>" for column in columns)
    body = "\n".join(
        "<tr>" + "".join(map(_cell, row, (c.prose for c in columns))) + "</tr>" for row in shown
    )
    text = (
        f'<div class="wide" tabindex="0" role="region" aria-label="{_escape(content.title)}">'
        f"<table>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )
    if len(shown) == len(cells):
        return text
    cut = f"The first {most} of {len(cells)} rows{f'; {rest}' if rest else ''}."
    return f"{text}\n{paragraph(cut, 'faint')}"


def _cell(text: str, prose: bool) -> str:
    text = _escape(text)
    if prose:
        return f'<td class="prose">{text}</td>'
    first, _, details = text.partition("\n")
    large = f"{first}<br>" if first and details else first
    small = f"<small>{details}</small>" if details else ""
    return f"<td>{large}{small}</td>"


def picture(caption: str, png: bytes) -> str:
    """A figure inside the document. Raises `M3Error` if `png` is not the bytes of a PNG file."""
    if not isinstance(png, bytes) or not png.startswith(_PNG):
        raise M3Error(f"figure {caption!r}: expected the bytes of a PNG file")
    data = base64.b64encode(png).decode("ascii")
    text = _escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
