"""What the tests of the commands share: a fit, a configuration and folders to work in."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks.support.synthetic import run_table, true_theta

from ..conftest import CACHE, ok

SMALL = ("--law", "chinchilla", "--starts", 2, "--draws", 2)


LANGUAGES = ("language0000", "language0001")


CONFIG = """
title = "A small study"
output = "{output}"
[runs]
path = "runs.csv"
[fit]
law = "chinchilla"
starts = 2
draws = 2
[compare]
laws = ["chinchilla"]
holdouts = ["compute", "two-stage"]
[optimize]
compute = 3e19
target_tokens = [1e8, 3e8]
"""


def process(*arguments, code: str = "from m3jax.cli import main; main()", **options):
    """`m3jax` with these arguments, in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 300} | options
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, text=True, check=False, **options)


@pytest.fixture(scope="module", autouse=True)
def cache():
    """The user's folder of caches is that of the tests; JAX's settings are put back afterwards."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(CACHE))
        patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        yield CACHE
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run table, a fit of it and a configuration."""
    folder = tmp_path_factory.mktemp("home")
    runs = run_table(true_theta(2, 3), 24, 0.003, 5)
    runs.to_frame().to_csv(folder / "runs.csv", index=False)
    ok("fit", folder / "runs.csv", *SMALL, "-o", folder / "fits.json")
    (folder / "study.toml").write_text(CONFIG.format(output="out"), encoding="utf-8")
    return folder


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    """A folder of the test's own with the same files, to work in."""
    for path in home.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
