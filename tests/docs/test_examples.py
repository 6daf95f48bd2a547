"""Every command and Python block of the README and the documentation, run as it stands."""

import re
import shlex
import shutil
import sys

import pytest

from m3jax import laws
from m3jax.cli import main

from ..conftest import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
# Those of several processes wait for one another: `tests/fitting/chunks` starts them.
APART = ("--processes", "--distributed", "--coordinator")


def blocks(page):
    """(language, code) of every fenced block that is to be run, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        (language, code)
        for language, code in re.findall(r"^```(python|bash)\n(.*?)^```", text, re.M | re.S)
    ]


def commands(code):
    """The `m3jax` commands of a shell block that one process runs."""
    lines = code.replace("\\\n", " ").splitlines()
    return [
        line
        for line in lines
        if line.startswith("m3jax ") and not any(word in line for word in APART)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that looks like the project's root, with a fit and two texts, for all pages."""
    folder = tmp_path_factory.mktemp("newcomer")
    for name in ("m3jax", "configs", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    for name, word in (("id", "satu dua tiga empat lima enam"), ("en", "one two three four five")):
        lines = (f"{word} {i * i % 977} {i * 7919 % 1009}" for i in range(40_000))
        (folder / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def newcomer(folder, tmp_path, monkeypatch):
    """In that folder, leaving the user's cache and the registry of laws alone."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    registry = dict(laws._REGISTRY)
    yield folder
    laws._REGISTRY.clear()
    laws._REGISTRY.update(registry)


def run(line, monkeypatch):
    monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
    main()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page, newcomer, monkeypatch, capsys):
    if not (newcomer / "fits.json").exists() and "fits.json" in page.read_text(encoding="utf-8"):
        run(
            "m3jax fit m3jax/data/pilot_debian.csv --huber-delta 0.01 -o fits.json",
            monkeypatch,
        )
    shutil.rmtree("out", ignore_errors=True)  # `m3jax run` of another page is not of this one
    capsys.readouterr()
    names = {}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, str(page), "exec"), names)
        else:
            for line in commands(code):
                run(line, monkeypatch)
                assert capsys.readouterr().out, line


def test_every_command_has_a_page_with_an_example():
    import typer.main

    from m3jax.cli import app

    for name in typer.main.get_command(app).commands:
        page = ROOT / "docs" / "cli" / f"{name}.md"
        lines = [line for _, code in blocks(page) for line in commands(code)]
        assert any(line.startswith(f"m3jax {name}") for line in lines), name
        assert f"<!-- options of {name} -->" in page.read_text(encoding="utf-8")


def test_the_two_commands_of_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second = re.search(r"```bash\n(python.*)\n(python.*)\n```", text).groups()
    assert first == "python -m pip install -e . && m3jax run configs/quickstart.toml"
    assert second == 'python -m pip install -e ".[test]" && python -m pytest'
    assert second.split(" && ")[1] in (ROOT / ".ci" / "run").read_text()
    assert len(text.splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_are_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text):
        base = ROOT / "m3jax" / "data" if page.name == "data_card.md" else page.parent
        assert (base / target).exists(), target
