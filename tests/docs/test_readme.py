"""What the README shows is run as it stands."""

import re
import shlex
import sys

import pytest

from m3jax import laws
from m3jax.cli import main

from ..conftest import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A folder that looks like the project's root, whose files are left alone."""
    (tmp_path / "m3jax").symlink_to(ROOT / "m3jax")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))  # ours stays as it is
    known = dict(laws._REGISTRY)
    yield tmp_path
    laws._REGISTRY.clear()
    laws._REGISTRY.update(known)


def test_the_python_examples_run(newcomer, capsys):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, {})
    assert "target_probability" in capsys.readouterr().out
    assert "token_power" in laws.list_laws()
    assert (newcomer / "fits.json").exists()


def test_the_commands_run(newcomer, monkeypatch, capsys):
    # Those of several processes wait for one another: `test_distributed` starts them.
    lines = re.findall(r"^m3jax (?!.* --processes ).*$", TEXT, re.MULTILINE)
    assert len(lines) == 8
    for line in lines:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        main()
        assert capsys.readouterr().out


def test_the_two_commands_are_there():
    first, second = re.search(r"```bash\n(python.*)\n(python.*)\n```", TEXT).groups()
    assert first == 'python -m pip install -e ".[plot]" && m3jax run configs/quickstart.toml'
    assert second == 'python -m pip install -e ".[test]" && python -m pytest'
    assert "python -m pytest" in (ROOT / ".ci" / "run").read_text()


def test_the_picture_and_links_exist():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        assert (ROOT / target).exists(), target
