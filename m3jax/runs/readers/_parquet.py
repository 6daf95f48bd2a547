"""Run tables in Parquet files (needs pyarrow)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..._errors import M3Error

if TYPE_CHECKING:
    import pandas as pd


def read_parquet(path: Path) -> pd.DataFrame:
    """Cells in the file's own types."""
    import pandas as pd

    try:
        import pyarrow
    except ImportError as error:
        raise M3Error(
            f"{path}: Parquet files need pyarrow: pip install 'm3jax[parquet]'"
        ) from error
    try:
        with open(path, "rb") as file:
            frame = pd.read_parquet(file, engine="pyarrow")
    except pyarrow.ArrowException as error:
        raise M3Error(f"{path}: broken or truncated Parquet file: {error}") from error
    return frame.set_axis(np.arange(1, len(frame) + 1), axis=0)
