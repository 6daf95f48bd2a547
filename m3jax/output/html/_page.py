"""The few pieces of HTML that a report is made of. All text that comes in is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape as escape_html

from ..._errors import M3Error
from ...formatting import printable
from ..tables import Table

_PNG = b"\x89PNG\r\n\x1a\n"

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2228; --faint: #667079; --page: #fff;
  --panel: #f4f6f8; --line: #dce1e6; --accent: #0b62a8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --faint: #98a3ad; --page: #14181c; --panel: #1d2329; --line: #333c45;
    --accent: #76b7f0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 90rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line);
  padding-bottom: .3rem; }
p, ul { max-width: 46rem; overflow-wrap: anywhere; }
.answer { font-size: 1.08rem; background: var(--panel); border-left: 4px solid var(--accent);
  padding: .9rem 1.1rem; border-radius: 0 6px 6px 0; max-width: 56rem; }
.faint { color: var(--faint); font-size: .9rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .55rem; text-align: left; vertical-align: top; white-space: pre;
  border-bottom: 1px solid var(--line); line-height: 1.35; }
th { color: var(--faint); font-weight: 600; vertical-align: bottom; }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--page); }
td small { color: var(--faint); font-size: .92em; }
td.prose { white-space: pre-line; min-width: 17rem; max-width: 30rem; }
details { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .9rem;
  margin: .5rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
code { font: .86em/1.6 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
figure { margin: 1.4rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; padding: .5rem;
  border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--faint); font-size: .9rem; margin-top: .4rem; max-width: 46rem; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  :root { --ink: #000; --faint: #444; --page: #fff; --panel: #f4f6f8; --line: #bbb; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  table { font-size: 6.8pt; }
  th, td { padding: .2rem .35rem; }
  td.prose { min-width: 0; }
  td:first-child, th:first-child { position: static; }
  figure, tr { break-inside: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""


def _escape(text: str) -> str:
    """Text as it is shown: neither HTML nor control characters have a say."""
    return escape_html(printable(text))


def page(title: str, body: Iterable[str]) -> str:
    """A whole document around `body`, which is HTML already."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_escape(title)}</h1>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{_escape(text)}</h2>"


def paragraph(text: str, style: str = "") -> str:
    """A paragraph; `style` is "answer", "faint" or nothing."""
    return f'<p class="{style}">{_escape(text)}</p>' if style else f"<p>{_escape(text)}</p>"


def formula(text: str) -> str:
    """A formula, which may have parts divided by a semicolon."""
    return (
        "<p>" + "<br>".join(f"<code>{_escape(p.strip())}</code>" for p in text.split("; ")) + "</p>"
    )


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
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
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


def details(summary: str, inner: Iterable[str], *, is_open: bool) -> str:
    """A part that opens and closes; `inner` is HTML already."""
    state = " open" if is_open else ""
    return f"<details{state}><summary>{_escape(summary)}</summary>\n{''.join(inner)}\n</details>"


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
