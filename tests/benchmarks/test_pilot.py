"""The scripts around the pilot: text from Debian's documentation, its speed, the closed loop."""

import json
import sys

import numpy as np
import pytest

from benchmarks.speed import pilot
from benchmarks.studies import closed_loop
from m3jax import M3Error
from m3jax.pilot import Shape
from tools import debian_corpus

from ..cli.test_cli import ok
from ..cli.test_pilot import words

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


def test_a_corpus_is_built_from_packages(tmp_path, monkeypatch, capsys):
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
    monkeypatch.setattr(
        sys, "argv", ["debian_corpus", str(tmp_path / "corpus"), "--languages", "Indonesian"]
    )
    assert debian_corpus.main() == 0
    summary = json.loads(capsys.readouterr().out)
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


def test_speed_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(pilot, "shapes", lambda _: [Shape(1, 16)])
    arguments = ["--widths", "16", "--ways", "1x1,1x2", "--steps", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["pilot", *arguments, "--peak", "1e12", "--json"])
    assert pilot.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["workers"] for row in result["rows"]] == [1, 2]
    for row in result["rows"]:
        assert row["utilisation"] == pytest.approx(row["flop_per_second"] / 1e12)
        assert row["flop_per_second"] == pytest.approx(
            6 * Shape(1, 16).n_params * row["tokens_per_second"]
        )
    assert result["rows"][0]["gain"] == 1
    pilot.show(result)
    assert "MFU" in capsys.readouterr().out


CONFIG = """
output = "{folder}/runs.csv"
source = "source.txt"
budget = 3e9
runs = 24
ensemble = 1
[targets]
Target = "target.txt"
[training]
length = 16
[design]
target_tokens = [512, 1e6]
"""


def test_the_closed_loop_goes_round(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("m3jax.pilot._model._LADDER", ((1, 16), (1, 32)))
    monkeypatch.setattr("m3jax.pilot._design._FEWEST_STEPS", 4)
    (tmp_path / "target.txt").write_text(words(0, "abcdefghijklm"))
    (tmp_path / "source.txt").write_text(words(1, "nopqrstuvwxyz"))
    config = tmp_path / "pilot.toml"
    config.write_text(CONFIG.format(folder=tmp_path))
    ok("pilot", config)
    out = tmp_path / "loop"
    arguments = ["--law", "chinchilla", "--draws", 2, "--target-tokens", 4096, "--seeds", 2,
                 "--multiple", 1.5]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["closed_loop", str(config), "-o", str(out),
                                      *map(str, arguments)])  # fmt: skip
    assert closed_loop.main() == 0
    shown = capsys.readouterr().out
    result = json.loads((out / "result.json").read_text())["languages"]["Target"]
    names = {row["recipe"] for row in result["recipes"]}
    budget = json.loads((out / "result.json").read_text())["compute"]
    compute = {name: budget * closed_loop.CHEAPER.get(name, 1) for name in names}
    assert {"recommended", "recommended, half the compute", "uniform mix", "4 epochs"} <= names
    assert all(name in shown for name in names)
    for row in result["recipes"]:
        assert len(row["losses"]) == 2
        assert np.isfinite([row["loss"], row["standard_error"], row["predicted"]]).all()
        assert 6 * row["n_params"] * row["total_tokens"] <= 1.3 * compute[row["recipe"]]
    recommended = next(row for row in result["recipes"] if row["recipe"] == "recommended")
    assert recommended["excess"] == 0
    # Again: nothing is decided or trained anew.
    before = (out / "runs.csv").read_bytes()
    monkeypatch.setattr(closed_loop, "fit", lambda *_, **__: pytest.fail("fitted again"))
    assert closed_loop.main() == 0
    assert (out / "runs.csv").read_bytes() == before
    sys.argv[-1] = "2"
    assert closed_loop.main() == 2
    assert "was decided for" in capsys.readouterr().err
    sys.argv[sys.argv.index("--seeds") + 1] = "1"
    assert closed_loop.main() == 2
    assert "--seeds: expected at least 2" in capsys.readouterr().err


def test_an_overview_says_why_a_recipe_is_not_there():
    def row(name, regime):
        return {"recipe": name, "regime": regime, "loss": 2.0, "standard_error": 0.1, "excess": 0}

    recommended = closed_loop.RECOMMENDED
    one, two = (closed_loop.best_of(regime) for regime in ("one", "two"))
    languages = {
        "A": {"recipes": [row(recommended, "one"), row(two, "two")]},
        "B": {"recipes": [row(recommended, "two"), row(one, "one")]},
        "C": {"recipes": [row(recommended, "two")]},
    }
    lines = closed_loop.overview({"languages": languages}).splitlines()
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines}
    assert [cell.strip() for cell in cells[two]][1:] == ["is the recommended"] * 2
    assert [cell.strip() for cell in cells[one]][::2] == ["is the recommended", "not possible"]


def test_compute_saved_is_read_off_the_cheaper_runs():
    losses = [2.0, 2.2, 2.5]  # at the budget, a half and a quarter of it
    assert closed_loop.saved_compute(losses, 2.0) == (1, "")
    assert closed_loop.saved_compute(losses, 2.2) == (pytest.approx(2), "")
    assert closed_loop.saved_compute(losses, (2.2 * 2.5) ** 0.5) == (pytest.approx(8**0.5), "")
    assert closed_loop.saved_compute(losses, 3.0) == (4, "at least")
    assert closed_loop.saved_compute(losses, 1.9) == (1, "at most")
    assert closed_loop.saved_compute(losses[:2], 2.3) == (2, "at least")
    # Noise: no reading is made below a cheaper run that happens to be better.
    assert closed_loop.saved_compute([2.0, 1.9, 2.5], 1.95) == (1, "at most")
