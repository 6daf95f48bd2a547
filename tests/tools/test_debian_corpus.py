"""Text from Debian's documentation, cleaned."""

import json

import pytest

from m3jax import M3Error
from tools import debian_corpus

from ..conftest import call_script

PAGE = """<html><head><title>Nothing of the title, however long it may be</title></head><body>
<div class="toc"><div><p>A table of contents that nobody wants to read</p></div></div>
<h1>Bab 3. Inisialisasi sistem operasi</h1><a id="x"/>
<p>Perintah <code>mkfs</code>
disediakan oleh paket &quot;e2fsprogs&quot;.<br/>Baris kedua dari paragraf ini.</p>
<pre class="screen">$ apt-get install something-long-enough</pre><p>Pendek.</p>
<ul><li><p>Butir yang pertama dari daftar ini</p></li></ul></body></html>"""


def test_pages_become_paragraphs():
    assert debian_corpus.paragraphs(PAGE) == [
        "Bab 3. Inisialisasi sistem operasi",
        'Perintah mkfs disediakan oleh paket "e2fsprogs".',
        "Baris kedua dari paragraf ini.",
        "Butir yang pertama dari daftar ini",
    ]


def test_untranslated_and_repeated_paragraphs_go():
    source = ["The quick brown fox jumps over the lazy dog and runs away"]
    candidates = [
        "Satu dua tiga empat lima enam tujuh delapan",
        "the quick brown fox jumps over the LAZY dog",
        "Satu dua tiga empat lima enam tujuh sembilan",
        "Sepuluh sebelas dua belas tiga belas empat belas the quick brown fox jumps",
    ]
    kept, dropped = debian_corpus.clean(candidates, source)
    assert kept == [candidates[0], candidates[3]]
    assert dropped == {"repeated": 1, "in_source": 1}
    assert 0 < debian_corpus.source_share(kept, source) < 0.2


def test_a_corpus_is_built_from_packages(tmp_path, monkeypatch):
    def fetch(names, folder):
        share = folder / "shared" / "usr" / "share"
        for path, text in (
            ("debian-reference/ch01.en.html", "<p>English text of the first chapter</p>"),
            ("debian-reference/ch01.id.html", PAGE),
            ("doc/debian-handbook/html/id-ID/a.html", "<p>Teks dari buku pegangan Debian</p>"),
        ):
            (share / path).parent.mkdir(parents=True, exist_ok=True)
            (share / path).write_text(text)
        return dict.fromkeys(names, "1.0")

    monkeypatch.setattr(debian_corpus, "fetch", fetch)
    done = call_script(debian_corpus, tmp_path / "corpus", "--languages", "Indonesian")
    assert done.code == 0
    summary = done.json
    assert summary == json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    assert set(summary["languages"]) == {"English", "Indonesian"}
    assert summary["packages"]["debian-reference-id"] == "1.0"
    text = (tmp_path / "corpus" / "indonesian.txt").read_text()
    assert text.splitlines()[-1] == "Teks dari buku pegangan Debian"
    assert len(text.encode()) == summary["languages"]["Indonesian"]["bytes"]


def test_a_machine_without_debian_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_corpus.shutil, "which", lambda _: None)
    with pytest.raises(M3Error, match="apt-get: not found; this script needs a Debian system"):
        debian_corpus.fetch(["debian-reference-en"], tmp_path)
