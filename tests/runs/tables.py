"""Small run tables, and the words in which others are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from m3jax import M3Error
from m3jax.runs import RunTable

HEADER = "n_params,target_tokens,epochs,target_ratio,final_ratio,first_ratio,loss"

ROWS = ["1e6,1e6,2,0.5,0.5,0.5,3.0", "1e6,2e6,2,0.5,1.0,0.1,2.9", "2e6,2e6,4,1,1,1,2.8"]

# Of two runs, as trackers keep them.
RECIPES: dict[str, dict[str, Any]] = {
    "small": {"n_params": 1e6, "target_tokens": 2e6, "target_ratio": 0.5, "language": "id"},
    "large": {"n_params": 4e6, "target_tokens": 2e6, "target_ratio": 1.0, "language": "id"},
}


def write(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, *lines: str, **options: Any) -> RunTable:
    return RunTable.read(write(folder, "\n".join(lines) + "\n"), **options)


def frame(**changes: Any) -> pd.DataFrame:
    """Three good runs, with columns replaced, added, or (None) left out."""
    columns: dict[str, Any] = {
        "n_params": [1e6, 1e6, 2e6],
        "target_tokens": [1e6, 2e6, 2e6],
        "epochs": [2.0, 2.0, 4.0],
        "target_ratio": [0.5, 0.5, 1.0],
        "loss": [3.0, 2.9, 2.8],
    }
    columns.update(changes)
    return pd.DataFrame({name: cells for name, cells in columns.items() if cells is not None})


def refused(*parts: str) -> Any:
    """Expect an `M3Error` whose message has all `parts`, in this order."""
    return pytest.raises(M3Error, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def same(one: RunTable, other: RunTable) -> None:
    np.testing.assert_array_equal(one.language, other.language)
    np.testing.assert_array_equal(one.run_id, other.run_id)
    np.testing.assert_array_equal(one.loss, other.loss)
    np.testing.assert_array_equal(one.weight, other.weight)
    for left, right in zip(jax.tree.leaves(one.recipe), jax.tree.leaves(other.recipe), strict=True):
        np.testing.assert_array_equal(left, right)
    assert (one.seed is None) == (other.seed is None)
    if one.seed is not None:
        np.testing.assert_array_equal(one.seed, other.seed)


def same_runs(runs: RunTable) -> None:
    """The runs of `RECIPES` and nothing else, of two evaluations each."""
    table = runs.to_frame().sort_values(["run_id", "epochs"])
    assert table.run_id.tolist() == ["large", "large", "small", "small"]
    assert table.n_params.tolist() == [4e6, 4e6, 1e6, 1e6]
    assert table.epochs.tolist() == [1.0, 2.0, 1.0, 2.0]
    assert table.loss.tolist() == pytest.approx([2.8, 2.5, 3.3, 3.0], rel=1e-6)
    assert runs.languages == ("id",)
