"""Plain text in many languages from Debian's documentation packages, to train pilots on.

    python -m tools.debian_corpus corpus --languages English,Indonesian,Japanese

writes `corpus/indonesian.txt` and so on, and `corpus/corpus.json`: package versions, sizes, and the
overlap with the source. Needs `apt-get` and `dpkg-deb`; the text is the packages' authors', under
the packages' licences, and is not part of this project.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from m3jax import M3Error
from m3jax.files import json_text, write_json

# The code of each language in debian-reference, the installation guide and debian-handbook.
LANGUAGES = {
    "English": ("en", "en", "en-US"),
    "Indonesian": ("id", "id", "id-ID"),
    "Japanese": ("ja", "ja", "ja-JP"),
    "German": ("de", "de", "de-DE"),
    "French": ("fr", "fr", "fr-FR"),
    "Spanish": ("es", "es", "es-ES"),
    "Italian": ("it", "it", "it-IT"),
    "Portuguese": ("pt-br", "pt", "pt-BR"),
    "Chinese": ("zh-cn", "zh_CN", "zh-CN"),
}
SOURCE = "English"
# Packages that only some languages have, by the code in their names.
MORE = {
    "en": ("developers-reference", "debian-faq", "maint-guide", "debmake-doc", "aptitude-doc-en"),
    "ja": ("developers-reference-ja", "debian-faq-ja", "aptitude-doc-ja"),
    "de": ("developers-reference-de", "debian-faq-de"),
    "fr": ("developers-reference-fr", "debian-faq-fr", "aptitude-doc-fr"),
    "es": ("aptitude-doc-es",),
    "it": ("developers-reference-it", "debian-faq-it", "aptitude-doc-it"),
    "pt-br": ("debian-faq-pt",),
    "zh-cn": ("debian-faq-zh-cn",),
}
# Of debmake-doc, whose files of all languages lie together, the others are left out by name.
FOREIGN = re.compile(r"\.(de|ja|ru|zh-cn|zh-tw)\.html$")

BLOCKS = {
    "p", "li", "dt", "dd", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "div", "blockquote",
    "section", "article", "tr", "table", "ul", "ol", "dl", "br", "body", "title",
}  # fmt: skip
SKIPPED = {"pre", "script", "style", "head", "nav", "footer", "form"}
SKIPPED_CLASS = re.compile(
    r"\b(toc|navheader|navfooter|sphinxsidebar|related|footer|programlisting|screen|headerlink"
    r"|docnav|list-of-\w+|revhistory|legalnotice|indexdiv)\b"
)
SHARED_WORDS = 5  # words in a row that are no chance when an English text has them too
FEWEST_LETTERS = 20  # of a paragraph


class ParagraphParser(HTMLParser):
    """The running text of a page, without listings, menus and tables of contents."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = []
        self.skipped_tags: list[str] = []  # open tags like the one that began a skipped part
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.skipped_tags:
            if tag == self.skipped_tags[0]:
                self.skipped_tags.append(tag)
        elif tag in SKIPPED or SKIPPED_CLASS.search(dict(attrs).get("class") or ""):
            self.skipped_tags.append(tag)
        if tag in BLOCKS:
            self.end_paragraph()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self.end_paragraph()

    def handle_endtag(self, tag: str) -> None:
        if self.skipped_tags and tag == self.skipped_tags[0]:
            self.skipped_tags.pop()
        if tag in BLOCKS:
            self.end_paragraph()

    def handle_data(self, data: str) -> None:
        if not self.skipped_tags:
            self.text.append(data)

    def end_paragraph(self) -> None:
        """Keep the text since the last block as a paragraph, unless it is too short."""
        text = " ".join("".join(self.text).split()).rstrip("¶ ")
        self.text.clear()
        if sum(map(str.isalpha, text)) >= FEWEST_LETTERS:
            self.paragraphs.append(text)


def paragraphs(page: str) -> list[str]:
    """The paragraphs of an HTML page, in order."""
    parser = ParagraphParser()
    parser.feed(page)
    parser.close()
    parser.end_paragraph()
    return parser.paragraphs


def word_runs(paragraph: str) -> list[tuple[str, ...]]:
    """Words in a row, `SHARED_WORDS` at a time; all of a shorter paragraph."""
    words = re.findall(r"\w+", paragraph.lower())
    count = max(len(words) - SHARED_WORDS + 1, 1)
    return [tuple(words[i : i + SHARED_WORDS]) for i in range(count)]


def clean(candidates: list[str], source: list[str]) -> tuple[list[str], dict[str, int]]:
    """Without near-copies of earlier paragraphs, and of the source's; and what was dropped.

    A paragraph goes if at least half of its runs of five words stand in an earlier one, or in the
    source: text that is not translated, or shared between documents.
    """
    seen: set[tuple[str, ...]] = set()
    foreign = {run for paragraph in source for run in word_runs(paragraph)}
    kept, dropped = [], {"repeated": 0, "in_source": 0}
    for paragraph in candidates:
        runs = word_runs(paragraph)
        if sum(run in foreign for run in runs) * 2 >= len(runs):
            dropped["in_source"] += 1
        elif sum(run in seen for run in runs) * 2 >= len(runs):
            dropped["repeated"] += 1
        else:
            kept.append(paragraph)
            seen.update(runs)
    return kept, dropped


def packages(language: str) -> list[str]:
    """The packages that hold text of a language."""
    code = LANGUAGES[language][0]
    shared = ["installation-guide-amd64", "debian-handbook"]
    return [f"debian-reference-{code}", *shared, *MORE.get(code, ())]


def pages(folder: Path, language: str) -> Iterator[Path]:
    """The language's HTML files among the unpacked packages, in an order that does not change."""
    reference, guide, handbook = LANGUAGES[language]
    share = folder / "usr" / "share"
    yield from sorted((share / "debian-reference").glob(f"*.{reference}.html"))
    yield from sorted((share / "doc" / "installation-guide-amd64" / guide).glob("*.html"))
    yield from sorted((share / "doc" / "debian-handbook" / "html" / handbook).glob("*.html"))
    for package in MORE.get(reference, ()):
        unpacked = folder.parent / package
        yield from sorted(
            page for page in unpacked.rglob("*.html") if not FOREIGN.search(page.name)
        )


def fetch(names: list[str], folder: Path) -> dict[str, str]:
    """Download and unpack packages, the big ones all into `folder`/shared; versions by name."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise M3Error(f"{tool}: not found; this script needs a Debian system")
    versions = {}
    own_folder = {name for names in MORE.values() for name in names}
    for name in names:
        run_command(["apt-get", "download", "-qq", name], folder)
        (file,) = folder.glob(f"{name}_*.deb")
        versions[name] = run_command(["dpkg-deb", "--field", str(file), "Version"], folder).strip()
        run_command(
            ["dpkg-deb", "-x", str(file), str(folder / (name if name in own_folder else "shared"))]
        )
        file.unlink()
    return versions


def run_command(command: list[str], folder: Path | None = None) -> str:
    """What a command prints; raises `M3Error` with its last line where it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise M3Error(f"{' '.join(command)}: {last}")
    return done.stdout


def build(output: Path, languages: list[str]) -> dict[str, Any]:
    """Write each language's text, the source's first, and what is in it."""
    names = [SOURCE, *(name for name in languages if name != SOURCE)]
    wanted = list(dict.fromkeys(package for name in names for package in packages(name)))
    output.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {"source": SOURCE, "languages": {}}
    with tempfile.TemporaryDirectory() as folder:
        summary["packages"] = fetch(wanted, Path(folder))
        source: list[str] = []
        for name in names:
            candidates = [
                paragraph
                for page in pages(Path(folder) / "shared", name)
                for paragraph in paragraphs(page.read_text(encoding="utf-8", errors="replace"))
            ]
            kept, dropped = clean(candidates, source)
            if not kept:
                raise M3Error(f"{name}: no text found in {', '.join(packages(name))}")
            path = output / f"{name.lower()}.txt"
            path.write_text("\n".join(kept) + "\n", encoding="utf-8")
            summary["languages"][name] = {
                "file": path.name,
                "bytes": path.stat().st_size,
                # As in the card of a table that was trained on it.
                "digest": hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest(),
                "paragraphs": len(kept),
                "dropped_paragraphs": dropped,
                "share_of_word_runs_in_source": source_share(kept, source),
            }
            if name == SOURCE:
                source = kept
    write_json(output / "corpus.json", summary)
    return summary


def source_share(kept: list[str], source: list[str]) -> float:
    """Share of the runs of five words that still are in the source."""
    foreign = {run for paragraph in source for run in word_runs(paragraph)}
    runs = [run for paragraph in kept for run in word_runs(paragraph)]
    return sum(run in foreign for run in runs) / len(runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder for the text files")
    parser.add_argument(
        "--languages",
        type=lambda text: text.split(","),
        default=list(LANGUAGES),
        help=f"of {','.join(LANGUAGES)}; English, the source, always",
    )
    options = parser.parse_args()
    for name in options.languages:
        if name not in LANGUAGES:
            parser.error(f"unknown language {name!r}; known: {', '.join(LANGUAGES)}")
    try:
        print(json_text(build(options.output, options.languages)), end="")
    except M3Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
