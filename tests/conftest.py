"""Shared fixtures: where the real tables are, and strict JAX settings for every test."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public run tables; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("M3JAX_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "muennighoff" / "fit_182.csv").exists():
        pytest.skip(f"public run tables not found in {folder} (set M3JAX_DATA to their folder)")
    return folder


@pytest.fixture(autouse=True, scope="module")
def compiled_code_does_not_pile_up() -> Iterator[None]:
    """Every compiled function holds memory maps, of which Linux gives a process 65,530."""
    yield
    jax.clear_caches()
