"""Run tables in Parquet files (needs pyarrow)."""

from __future__ import annotations

import io

from ..._errors import M3Error
from ._raw import Raw, numbered


def read_parquet(content: bytes, name: str) -> Raw:
    """Cells in the file's own types; an index that pandas wrote is a column like others."""
    import pandas as pd

    try:
        import pyarrow
    except ImportError as error:
        raise M3Error(
            f"{name}: Parquet files need pyarrow: pip install 'm3jax[parquet]'"
        ) from error
    try:
        frame = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except pyarrow.ArrowException as error:
        raise M3Error(f"{name}: broken or truncated Parquet file: {error}") from error
    return Raw(numbered(frame))
