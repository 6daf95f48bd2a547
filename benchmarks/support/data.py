"""Where the public run tables are, for benchmarks that read them."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path | None:
    """`M3JAX_DATA`, or `shared/data` beside the project; None where that is absent."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("M3JAX_DATA", beside))
    return folder if (folder / "repeat_aware").is_dir() else None
