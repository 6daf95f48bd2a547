"""The public run tables that some benchmarks and builders read."""

from __future__ import annotations

import os
from pathlib import Path

from m3jax import RunTable

_MUENNIGHOFF_COLUMNS = {
    "run_id": "run",
    "n_params": "params",
    "target_tokens": "unique_tokens",
    "epochs": "epochs",
    "loss": "val_loss",
}
_WIKIPEDIA_COLUMNS = {
    "n_params": "params_nominal",
    "target_tokens": "hq_unique_tokens_approx",
    "target_ratio": "r_target",
    "loss": "hq_val_loss",
}


def data_folder() -> Path | None:
    """`M3JAX_DATA`, or `shared/data` beside the project; None where that is absent."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("M3JAX_DATA", beside))
    return folder if (folder / "repeat_aware").is_dir() else None


def read_wikipedia_runs(folder: Path) -> RunTable:
    """The 54 runs on Wikipedia of repeat-aware data mixing (arXiv:2606.07597)."""
    table = folder / "repeat_aware" / "runs_wikipedia.csv"
    return RunTable.read(table, columns=_WIKIPEDIA_COLUMNS)


def read_muennighoff_runs(folder: Path) -> RunTable:
    """The 182 runs on C4 of scaling data-constrained language models (arXiv:2305.16264)."""
    return RunTable.read(folder / "muennighoff" / "fit_182.csv", columns=_MUENNIGHOFF_COLUMNS)
