"""Run tables in CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..._errors import M3Error

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: Path) -> pd.DataFrame:
    """Cells as text; blank lines count as rows, then go."""
    import pandas as pd

    try:
        # As text, header included: pandas would otherwise rename duplicate columns and take
        # the language codes "NA" and "nan" for missing values.
        raw = pd.read_csv(
            path,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError as error:
        raise M3Error(f"{path}: the file is empty, expected a header and rows") from error
    except pd.errors.ParserError as error:
        raise M3Error(f"{path}: broken or truncated CSV: {error}") from error
    frame = raw.iloc[1:].set_axis(raw.iloc[0].fillna("").str.strip().tolist(), axis=1)
    return frame[~(frame.isna() | (frame == "")).all(axis=1)]
